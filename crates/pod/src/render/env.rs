//! The environment of a start, and `$(VAR)`.

use std::{borrow::Cow, net::IpAddr};

use super::StartFacts;
use crate::model::{Container, EnvValue, LateValue};

/// The variables of a container in order, each name once, `$(VAR)` of those before it expanded.
pub fn environment(container: &Container, facts: &StartFacts<'_>) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in &container.env {
        let value = match &variable.value {
            EnvValue::Text(text) => expand(text, |name| find(&env, name)),
            EnvValue::Exact(text) => text.clone(),
            EnvValue::Secret(text) => text.reveal().clone(),
            EnvValue::Late(late) => late_text(*late, facts),
        };
        match env.iter_mut().find(|(name, _)| *name == variable.name) {
            Some((_, former)) => *former = value,
            None => env.push((variable.name.clone(), value)),
        }
    }
    env
}

/// The value of a variable.
pub(crate) fn find<'a>(env: &'a [(String, String)], name: &str) -> Option<Cow<'a, str>> {
    let found = env.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, value)| Cow::Borrowed(value.as_str()))
}

/// What only a start knows, as text.
pub(crate) fn late_text(late: LateValue, facts: &StartFacts<'_>) -> String {
    let first = |ips: &[IpAddr]| ips.first().map_or_else(String::new, ToString::to_string);
    let all = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match late {
        LateValue::PodIp => first(facts.pod_ips),
        LateValue::PodIps => all(facts.pod_ips),
        LateValue::HostIp => first(facts.host_ips),
        LateValue::HostIps => all(facts.host_ips),
        LateValue::NodeName
        | LateValue::NodeCpu(_)
        | LateValue::NodeMemory(_)
        | LateValue::NodeStorage(_) => facts.node.text(late),
    }
}

/// Replaces `$(NAME)` by what `lookup` knows. `$$` is a dollar sign; what is unknown or unfinished
/// stays as it is (apimachinery, `third_party/forked/golang/expansion`).
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<Cow<'a, str>>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) =
            after.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match lookup(name) {
                Some(value) => expanded.push_str(&value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(text: &str) -> String {
        expand(text, |name| match name {
            "A" => Some("one".into()),
            "B" => Some("$(A)".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        })
    }

    /// Cases of Kubernetes' own test (`expand_test.go`), with other variables.
    #[test]
    fn as_kubernetes_does_it() {
        for (text, wanted) in [
            ("$(A)", "one"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$$$$(A)", "$$(A)"),
            ("$(B)", "$(A)"),
            ("x$(A)y$(A)", "xoneyone"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$(EMPTY)", ""),
            ("$A", "$A"),
            ("$", "$"),
            ("$(", "$("),
            ("$(A", "$(A"),
            ("a$(A)$", "aone$"),
            ("$()", "$()"),
            ("$(($(A))", "$(($(A))"),
            ("über $(A)", "über one"),
        ] {
            assert_eq!(expanded(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_stays(text in "[^$]{0,40}") {
            prop_assert_eq!(expanded(&text), text);
        }

        #[test]
        fn escaped_text_comes_out_as_it_was(text in "[$()AB x]{0,40}") {
            prop_assert_eq!(expanded(&text.replace('$', "$$")), text);
        }

        #[test]
        fn what_is_not_known_stays(text in "([()xy]|\\$[()xy]){0,20}\\$?") {
            prop_assert_eq!(expanded(&text), text);
        }
    }
}
