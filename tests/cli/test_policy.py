"""`agentcost policy check`, and `--policy` where traces are settled."""

import re

import pytest

from agentcost_collector.attribute.rules import COLUMNS, FUNCTIONS
from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost
from tests.support.recordings import ROOT
from tests.support.trees import draw

PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
HEAD = "schema: agentcost.policy/v1\n"


def checked(tmp_path, text):
    """`policy check` of a file that holds `text`."""
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return agentcost("policy", "check", path)


def test_the_example_of_the_page_can_be_used(tmp_path):
    """What docs/policy.md shows passes, and the summary says what it holds."""
    done = checked(tmp_path, EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "can be used" in done.stdout
    assert "feature, team, workload_class" in done.stdout
    assert "search_docs absorb" in done.stdout
    assert re.search(r"^rules +3$", done.stdout, re.MULTILINE)


def test_the_smallest_policy_can_be_used(tmp_path):
    """A schema line alone is the default policy."""
    assert checked(tmp_path, HEAD).returncode == 0


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("tags: {}\n", 1, "begin with `schema: agentcost.policy/v1`"),
        ("schema: agentcost.policy/v2\n", 1, "agentcost.policy/v1"),
        ("- a\n", 1, "a policy is a mapping"),
        (HEAD + "tags: {feature: {\n", 3, "not YAML"),
        (HEAD + "tgas: {}\n", 2, "did you mean `tags`?"),
        (HEAD + "tags:\n  featre: {}\n", 3, "did you mean `feature`?"),
        (HEAD + "tags:\n  feature:\n    requird: true\n", 4, "did you mean `required`?"),
        (HEAD + "tags:\n  team: {}\n  team: {}\n", 4, "key 'team' is given twice"),
        (HEAD + "tags:\n  team: {pattern: '['}\n", 3, "not a regular expression"),
        (HEAD + "tags:\n  team: {pattern: a, values: [a]}\n", 3, "keep one of them"),
        (HEAD + "tags:\n  team: {values: [a], default: b}\n", 3, "default 'b' is not an allowed"),
        (HEAD + "tags:\n  team: {values: [a, 1]}\n", 3, "must be text; write it in quotes, '1'"),
        (HEAD + "boundaries:\n  tools:\n    x: absorbs\n", 4, "'absorb' or 'transparent'"),
        (HEAD + "boundaries:\n  tool: {}\n", 3, "did you mean `tools`?"),
        (HEAD + "features: {a: {product: true}}\n", 2, "did you mean `product_boundary`?"),
        (HEAD + "limits:\n  value_chars_max: 0\n", 3, "greater than or equal to 1"),
        (HEAD + f"labels: [{', '.join('abcdefghijklmnopq')}]\n", 2, "at most 16"),
        (HEAD + "rules:\n  - set: {team: a}\n", 3, "`when` is missing"),
        (HEAD + "rules:\n  - when: 'true'\n    set: {}\n", 4, "sets nothing"),
        (HEAD + "rules:\n  - when: 'true'\n    set:\n      tame: x\n", 5, "did you mean `team`?"),
        (HEAD + "rules:\n  - set: {team: a}\n    when: servce = 'x'\n", 4, "did you mean service?"),
        (HEAD + "rules:\n  - set: {team: a}\n    when: name =\n", 4, "not a condition"),
        (
            HEAD
            + "tags:\n  team: {values: [a]}\nrules:\n"
            + "  - when: 'true'\n    set:\n      team: b\n",
            7,
            "'b' is not an allowed value of team",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_to_do(tmp_path, text, line, told):
    """Exit code 2 and one sentence on stderr."""
    done = checked(tmp_path, text)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"policy.yaml:{line}: " in done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path):
    """Exit code 2, wherever the policy is named."""
    done = agentcost("policy", "check", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert "none.yaml: cannot be read" in done.stderr


def test_replay_attributes_by_the_policy(tmp_path):
    """Attributes that only the policy names are kept, for tags, labels and rules."""
    tree = draw(
        """
        ask service=web product.area=cart app.plan=gold
          chat shard=7 openinference.span.kind=LLM llm.token_count.prompt=5
        job service=web
          chat shard=8 openinference.span.kind=LLM llm.token_count.prompt=5
        """
    )
    (tmp_path / "spans.pb").write_bytes(tree.body())
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        HEAD
        + "tags: {feature: {attributes: [product.area]}}\nlabels: [app.plan]\n"
        + "rules:\n  - when: attributes['shard'] = '8'\n    set: {feature: jobs}\n"
    )
    data = tmp_path / "data"
    recorded = tmp_path / "spans.pb"
    done = agentcost("replay", recorded, "--data", data, "--policy", policy)
    assert done.returncode == 0, done.stderr
    query = "SELECT feature, feature_from, labels FROM steps ORDER BY feature"
    assert open_views(data).sql(query).fetchall() == [
        ("cart", "ancestor", '{"app.plan": "gold"}'),
        ("jobs", "rule", None),
    ]
    explained = agentcost("explain", tree.line("ask").trace_id, "--data", data, "--policy", policy)
    assert "feature=cart (ancestor)" in explained.stdout
    assert "booked by other rules" not in explained.stdout


@pytest.mark.parametrize("command", [("replay", "x.otlp.bin"), ("serve",)])
def test_a_faulty_policy_stops_a_command_at_its_start(tmp_path, command):
    """Exit code 2 before anything is read or listened to."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(HEAD + "rules:\n  - set: {team: a}\n    when: servce = 'x'\n")
    (tmp_path / "x.otlp.bin").write_bytes(b"")
    given = [str(tmp_path / part) if "." in part else part for part in command]
    done = agentcost(*given, "--data", tmp_path / "data", AGENTCOST_POLICY=str(policy))
    assert done.returncode == 2
    assert "policy.yaml:4: " in done.stderr


def test_the_page_lists_columns_and_functions():
    """docs/policy.md names all that a condition may use."""
    cells = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)[`\[]", cell)}
    assert set(COLUMNS) <= documented
    plain = re.findall(r"the functions\n`([^`]*)`", PAGE)[0].split()
    assert set(plain) == {name for name in FUNCTIONS if name.isidentifier()} - {
        "like_escape",
        "not_like_escape",
        "ilike_escape",
        "not_ilike_escape",
    }
