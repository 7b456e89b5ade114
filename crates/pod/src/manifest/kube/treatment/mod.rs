//! What is done with each field of the Kubernetes types: the one table that the reader obeys and
//! that `docs/manifests.md` shows. A test walks the types and finds every field in it.

mod table;

use std::{collections::HashMap, sync::LazyLock};

pub(super) use self::table::types;

/// What is done with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It means here what it means in Kubernetes.
    Honoured,
    /// A warning says why it means nothing.
    Ignored(&'static str),
    /// It was read before, to tell which type it is.
    Known,
    /// It asks for nothing that could be missed.
    Silent,
    /// An error says why it cannot be done; the second text is what to do instead.
    Refused(&'static str, &'static str),
}

/// A type with its fields.
pub(super) struct Type {
    /// Its name in `k8s-openapi`.
    pub(super) name: &'static str,
    /// Its name in the documentation.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the documentation, which a test checks")
    )]
    pub(super) title: &'static str,
    /// Field, treatment, and a note for the documentation.
    pub(super) fields: &'static [(&'static str, Treatment, &'static str)],
}

static INDEX: LazyLock<HashMap<(&str, &str), Treatment>> = LazyLock::new(|| {
    let fields = |of: &'static Type| {
        of.fields.iter().map(|(field, treatment, _)| ((of.name, *field), *treatment))
    };
    types().flat_map(fields).collect()
});

/// What is done with a field of a type. A field that a newer schema brought and that the table does
/// not have is refused rather than passed over; a test keeps that from happening.
pub(super) fn of(name: &str, field: &str) -> Treatment {
    let unknown = Treatment::Refused("not supported by this version of crilet", "");
    INDEX.get(&(name, field)).copied().unwrap_or(unknown)
}

/// The fields of a type that are refused.
pub(super) fn refused(name: &str) -> impl Iterator<Item = &'static str> {
    let fields = types().find(|of| of.name == name).map_or(&[][..], |of| of.fields);
    let refused =
        fields.iter().filter(|(_, treatment, _)| matches!(treatment, Treatment::Refused(..)));
    refused.map(|(field, ..)| *field)
}

/// Where a field that was written at a wrong place belongs, for those that people misplace.
pub(super) fn belongs(field: &str) -> Option<&'static str> {
    Some(match field {
        "annotations" | "labels" | "name" | "namespace" => "`metadata`",
        "containers" | "initContainers" | "volumes" | "hostNetwork" | "dnsPolicy" => {
            "`spec` of the pod"
        }
        "command" | "args" | "env" | "envFrom" | "image" | "imagePullPolicy" | "livenessProbe"
        | "ports" | "readinessProbe" | "resources" | "startupProbe" | "volumeMounts"
        | "workingDir" => "an item of `containers`",
        "capabilities" | "privileged" | "readOnlyRootFilesystem" | "allowPrivilegeEscalation" => {
            "`securityContext` of a container"
        }
        "fsGroup" | "runAsUser" | "runAsGroup" | "runAsNonRoot" | "supplementalGroups"
        | "sysctls" => "`securityContext`",
        "containerPort" | "hostPort" => "an item of `ports` of a container",
        "restartPolicy" | "terminationGracePeriodSeconds" => "`spec` of the pod",
        "limits" | "requests" => "`resources` of a container",
        "replicas" | "selector" | "template" => "`spec` of a Deployment",
        "data" | "stringData" | "binaryData" => "a ConfigMap or Secret itself, beside `metadata`",
        _ => return None,
    })
}
