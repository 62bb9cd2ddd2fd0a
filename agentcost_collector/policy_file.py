"""Loads the tag policy; every fault with its file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import RuleError, Rules
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.yaml_file import YamlFile, in_words, read_yaml


@dataclass(frozen=True)
class PolicyFile:
    """A policy, with the file it came from; None for the policy that holds without one."""

    policy: Policy
    file: YamlFile | None = None

    def rules(self) -> Rules:
        """The rules, ready to use. Raises ConfigError naming file and line."""
        try:
            return Rules(self.policy.rules)
        except RuleError as fault:
            assert self.file is not None
            place = self.file.at("rules", fault.rule, "when")
            raise ConfigError(f"{place}: rules.{fault.rule}.when: {fault}") from fault


def read_policy(path: Path | None) -> PolicyFile:
    """The policy in a file, without looking at the conditions of its rules.

    Raises ConfigError naming file and line.
    """
    if path is None:
        return PolicyFile(Policy())
    file = read_yaml(path, "a policy")
    if "schema" not in file.content:
        raise ConfigError(
            f"{path}:1: `schema` is missing; begin with `schema: agentcost.policy/v1`"
        )
    try:
        policy = Policy.model_validate(file.content)
    except ValidationError as wrong:
        raise ConfigError(in_words(file, wrong.errors(), "the policy schema", Policy)) from wrong
    for rule, name, value in policy.refused_settings():
        raise ConfigError(
            f"{file.at('rules', rule, 'set', name)}: '{value}' is not an allowed value of"
            f" {name.removeprefix('owner_')}; add it under `tags` or correct it"
        )
    return PolicyFile(policy, file)
