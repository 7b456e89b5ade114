//! Objects: what a document is.

use crate::manifest::kube::treatment::{
    Treatment::{Honoured, Ignored, Known, Refused, Silent},
    Type,
};

pub(super) const TYPES: &[Type] = &[
    Type {
        name: "Pod",
        title: "Pod",
        fields: &[
            ("apiVersion", Known, "tells the kind of object"),
            ("kind", Known, "tells the kind of object"),
            ("metadata", Honoured, ""),
            ("spec", Honoured, ""),
            ("status", Silent, "what a cluster wrote"),
        ],
    },
    Type {
        name: "Deployment",
        title: "Deployment (`apps/v1`)",
        fields: &[
            ("apiVersion", Known, "tells the kind of object"),
            ("kind", Known, "tells the kind of object"),
            ("metadata", Honoured, ""),
            ("spec", Honoured, ""),
            ("status", Silent, "what a cluster wrote"),
        ],
    },
    Type {
        name: "DeploymentSpec",
        title: "DeploymentSpec",
        fields: &[
            ("minReadySeconds", Silent, "nothing waits for a roll-out"),
            ("paused", Ignored("pods follow their manifest at once"), ""),
            ("progressDeadlineSeconds", Silent, "nothing waits for a roll-out"),
            ("replicas", Honoured, "that many pods, `NAME-0` and so on; 1 by default"),
            ("revisionHistoryLimit", Silent, "no revisions are kept"),
            ("selector", Honoured, "has to fit the labels of the template"),
            ("strategy", Ignored("an edited pod is stopped and started again in its place"), ""),
            ("template", Honoured, ""),
        ],
    },
    Type {
        name: "LabelSelector",
        title: "LabelSelector",
        fields: &[("matchExpressions", Honoured, ""), ("matchLabels", Honoured, "")],
    },
    Type {
        name: "LabelSelectorRequirement",
        title: "LabelSelectorRequirement",
        fields: &[
            ("key", Honoured, ""),
            ("operator", Honoured, "`In`, `NotIn`, `Exists`, `DoesNotExist`"),
            ("values", Honoured, ""),
        ],
    },
    Type {
        name: "PodTemplateSpec",
        title: "PodTemplateSpec",
        fields: &[
            (
                "metadata",
                Honoured,
                "labels and annotations; name and namespace are the Deployment's",
            ),
            ("spec", Honoured, ""),
        ],
    },
    Type {
        name: "ObjectMeta",
        title: "ObjectMeta",
        fields: &[
            ("annotations", Honoured, "those that begin with `crilet.dev/` are policy, see above"),
            ("creationTimestamp", Silent, "what a cluster wrote"),
            ("deletionGracePeriodSeconds", Silent, "what a cluster wrote"),
            ("deletionTimestamp", Silent, "what a cluster wrote"),
            ("finalizers", Ignored("nothing finalizes pods on one node"), ""),
            (
                "generateName",
                Refused(
                    "a name has to be given, so that an edited manifest means the same pod",
                    "write `name`",
                ),
                "",
            ),
            ("generation", Silent, "what a cluster wrote"),
            ("labels", Honoured, ""),
            ("managedFields", Silent, "what a cluster wrote"),
            ("name", Honoured, ""),
            ("namespace", Honoured, "`default` by default"),
            ("ownerReferences", Silent, "what a cluster wrote"),
            ("resourceVersion", Silent, "what a cluster wrote"),
            ("selfLink", Silent, "what a cluster wrote"),
            ("uid", Honoured, "follows from namespace and name by default"),
        ],
    },
    Type {
        name: "ConfigMap",
        title: "ConfigMap",
        fields: &[
            ("apiVersion", Known, "tells the kind of object"),
            ("binaryData", Honoured, ""),
            ("data", Honoured, ""),
            ("immutable", Silent, "the manifest alone changes it"),
            ("kind", Known, "tells the kind of object"),
            ("metadata", Honoured, ""),
        ],
    },
    Type {
        name: "Secret",
        title: "Secret",
        fields: &[
            ("apiVersion", Known, "tells the kind of object"),
            ("data", Honoured, ""),
            ("immutable", Silent, "the manifest alone changes it"),
            ("kind", Known, "tells the kind of object"),
            ("metadata", Honoured, ""),
            ("stringData", Honoured, ""),
            ("type", Honoured, "of pull secrets"),
        ],
    },
    Type {
        name: "PersistentVolumeClaim",
        title: "PersistentVolumeClaim",
        fields: &[
            ("apiVersion", Known, "tells the kind of object"),
            ("kind", Known, "tells the kind of object"),
            ("metadata", Honoured, ""),
            ("spec", Honoured, ""),
            ("status", Silent, "what a cluster wrote"),
        ],
    },
    Type {
        name: "PersistentVolumeClaimSpec",
        title: "PersistentVolumeClaimSpec",
        fields: &[
            ("accessModes", Silent, "a directory can be mounted by any pod of the node"),
            ("dataSource", Refused("a claim begins empty", "fill it in an init container"), ""),
            ("dataSourceRef", Refused("a claim begins empty", "fill it in an init container"), ""),
            ("resources", Ignored("the disk is the limit: claims are directories"), ""),
            ("selector", Ignored("claims are directories below the data root"), ""),
            ("storageClassName", Ignored("claims are directories below the data root"), ""),
            (
                "volumeAttributesClassName",
                Ignored("claims are directories below the data root"),
                "",
            ),
            ("volumeMode", Honoured, "`Filesystem` only"),
            ("volumeName", Ignored("claims are directories below the data root"), ""),
        ],
    },
];
