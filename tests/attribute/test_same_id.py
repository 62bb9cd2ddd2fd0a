"""Response ids that a server repeats: model servers and stubs answer many calls with one id."""

from tests.support.trees import drawn_in
from tests.support.walked import walk_bodies


def inputs(test) -> list[int]:
    return sorted(s["input_tokens"] for s in walk_bodies([drawn_in(test).body()]).calls())


def test_two_calls_of_one_emitter_with_one_id_stay_two():
    """Different numbers from one scope are two calls, though they overlap and share an id.

    ask
      a scope=one start=1 end=9 gen_ai.operation.name=embeddings gen_ai.request.model=e \
gen_ai.response.id=emb-1 gen_ai.usage.input_tokens=11
      b scope=one start=2 end=8 gen_ai.operation.name=embeddings gen_ai.request.model=e \
gen_ai.response.id=emb-1 gen_ai.usage.input_tokens=12
    """
    assert inputs(test_two_calls_of_one_emitter_with_one_id_stay_two) == [11, 12]


def test_one_call_seen_by_two_emitters_with_one_id_is_one():
    """Another scope with the same id at the same time is the same call, whatever it counted; the
    inner span is believed.

    ask
      a scope=one start=1 end=9 gen_ai.operation.name=chat gen_ai.request.model=m \
gen_ai.response.id=r gen_ai.usage.input_tokens=11 gen_ai.usage.output_tokens=7
      b scope=two start=2 end=8 gen_ai.operation.name=chat gen_ai.request.model=m \
gen_ai.response.id=r gen_ai.usage.input_tokens=11 gen_ai.usage.output_tokens=6
    """
    test = test_one_call_seen_by_two_emitters_with_one_id_is_one
    (call,) = walk_bodies([drawn_in(test).body()]).calls()
    assert (call["input_tokens"], call["output_tokens"]) == (11, 6)
