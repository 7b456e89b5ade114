//! What a Deployment adds to its template.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::apps::v1::DeploymentSpec,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};

use crate::manifest::{check::Check, report::item};

/// The most pods of one Deployment; more than a machine holds, less than a slip of the finger.
const MAX_REPLICAS: u32 = 1000;

/// Checks the Deployment; gives the number of its pods.
pub(super) fn check(check: &mut Check<'_>, spec: &DeploymentSpec) -> u32 {
    let replicas = check.bounded("spec.replicas", spec.replicas, (0, MAX_REPLICAS), 1);
    let metadata = spec.template.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    selector(check, &spec.selector, &labels);
    replicas
}

/// A selector that does not fit its template would, in a cluster, be an error as well.
fn selector(check: &mut Check<'_>, selector: &LabelSelector, labels: &BTreeMap<String, String>) {
    let wanted: Vec<_> = selector.match_labels.iter().flatten().collect();
    let requirements: Vec<_> = selector.match_expressions.iter().flatten().collect();
    if wanted.is_empty() && requirements.is_empty() {
        let hint = "name labels of the template: `matchLabels: {app: NAME}`";
        let path = "spec.selector";
        let message = if check.scope.has(path) { "empty" } else { "missing" };
        return check.wrong_hint(path, message, hint);
    }
    for (key, value) in wanted {
        if labels.get(key) != Some(value) {
            let path = crate::manifest::report::entry("spec.selector.matchLabels", key);
            let hint =
                format!("the labels in `spec.template.metadata` have to hold `{key}: {value}`");
            check.wrong_hint(&path, "does not fit the template", hint);
        }
    }
    for (index, requirement) in requirements.into_iter().enumerate() {
        let path = item("spec.selector.matchExpressions", index);
        match fits(requirement, labels) {
            Some(true) => {}
            Some(false) => check.wrong(&path, "does not fit the labels of the template"),
            None => {
                let names = ["In", "NotIn", "Exists", "DoesNotExist"].map(|name| (name, ()));
                let operator = Some(requirement.operator.as_str());
                check.choice(&format!("{path}.operator"), operator, &names, ());
            }
        }
    }
}

fn fits(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> Option<bool> {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|v| v == value));
    match requirement.operator.as_str() {
        "In" => Some(listed),
        "NotIn" => Some(!listed),
        "Exists" => Some(value.is_some()),
        "DoesNotExist" => Some(value.is_none()),
        _ => None,
    }
}
