//! Volumes.

use crate::manifest::kube::treatment::{
    Treatment::{Honoured, Refused},
    Type,
};

pub(super) const TYPES: &[Type] = &[
    Type {
        name: "Volume",
        title: "Volume",
        fields: &[
            (
                "awsElasticBlockStore",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "azureDisk",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "azureFile",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "cephfs",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "cinder",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("configMap", Honoured, "kept up to date in place"),
            (
                "csi",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("downwardAPI", Honoured, ""),
            ("emptyDir", Honoured, ""),
            ("ephemeral", Refused("claims are not made from a template", "use `emptyDir`"), ""),
            (
                "fc",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "flexVolume",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "flocker",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "gcePersistentDisk",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "gitRepo",
                Refused(
                    "repositories are not cloned",
                    "clone it in an init container into an `emptyDir`",
                ),
                "",
            ),
            (
                "glusterfs",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("hostPath", Honoured, ""),
            ("image", Honoured, "needs a runtime that mounts images (containerd 2.1, CRI-O 1.31)"),
            (
                "iscsi",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("name", Honoured, ""),
            (
                "nfs",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("persistentVolumeClaim", Honoured, "a directory of the node that outlives the pod"),
            (
                "photonPersistentDisk",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "portworxVolume",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("projected", Honoured, ""),
            (
                "quobyte",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "rbd",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "scaleIO",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            ("secret", Honoured, "kept in memory, up to date in place"),
            (
                "storageos",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
            (
                "vsphereVolume",
                Refused(
                    "storage of a provider cannot be attached",
                    "mount it on the host and use `hostPath`",
                ),
                "",
            ),
        ],
    },
    Type {
        name: "HostPathVolumeSource",
        title: "HostPathVolumeSource",
        fields: &[("path", Honoured, ""), ("type", Honoured, "")],
    },
    Type {
        name: "EmptyDirVolumeSource",
        title: "EmptyDirVolumeSource",
        fields: &[
            ("medium", Honoured, "`Memory`, `HugePages`, `HugePages-SIZE`"),
            (
                "sizeLimit",
                Honoured,
                "enforced by the kernel in memory; on disk measured every 10 s, a pod over it is made anew with the volume emptied",
            ),
        ],
    },
    Type {
        name: "ConfigMapVolumeSource",
        title: "ConfigMapVolumeSource",
        fields: &[
            ("defaultMode", Honoured, ""),
            ("items", Honoured, ""),
            ("name", Honoured, ""),
            ("optional", Honoured, ""),
        ],
    },
    Type {
        name: "KeyToPath",
        title: "KeyToPath",
        fields: &[("key", Honoured, ""), ("mode", Honoured, ""), ("path", Honoured, "")],
    },
    Type {
        name: "SecretVolumeSource",
        title: "SecretVolumeSource",
        fields: &[
            ("defaultMode", Honoured, ""),
            ("items", Honoured, ""),
            ("optional", Honoured, ""),
            ("secretName", Honoured, ""),
        ],
    },
    Type {
        name: "DownwardAPIVolumeSource",
        title: "DownwardAPIVolumeSource",
        fields: &[("defaultMode", Honoured, ""), ("items", Honoured, "")],
    },
    Type {
        name: "DownwardAPIVolumeFile",
        title: "DownwardAPIVolumeFile",
        fields: &[
            ("fieldRef", Honoured, ""),
            ("mode", Honoured, ""),
            ("path", Honoured, ""),
            ("resourceFieldRef", Honoured, ""),
        ],
    },
    Type {
        name: "ProjectedVolumeSource",
        title: "ProjectedVolumeSource",
        fields: &[("defaultMode", Honoured, ""), ("sources", Honoured, "")],
    },
    Type {
        name: "VolumeProjection",
        title: "VolumeProjection",
        fields: &[
            (
                "clusterTrustBundle",
                Refused("there is no cluster whose certificates could be trusted", ""),
                "",
            ),
            ("configMap", Honoured, ""),
            ("downwardAPI", Honoured, ""),
            ("podCertificate", Refused("there is no cluster that signs certificates", ""), ""),
            ("secret", Honoured, ""),
            ("serviceAccountToken", Refused("there are no service accounts", ""), ""),
        ],
    },
    Type {
        name: "ConfigMapProjection",
        title: "ConfigMapProjection",
        fields: &[("items", Honoured, ""), ("name", Honoured, ""), ("optional", Honoured, "")],
    },
    Type {
        name: "SecretProjection",
        title: "SecretProjection",
        fields: &[("items", Honoured, ""), ("name", Honoured, ""), ("optional", Honoured, "")],
    },
    Type {
        name: "DownwardAPIProjection",
        title: "DownwardAPIProjection",
        fields: &[("items", Honoured, "")],
    },
    Type {
        name: "PersistentVolumeClaimVolumeSource",
        title: "PersistentVolumeClaimVolumeSource",
        fields: &[
            ("claimName", Honoured, "a claim of the same source"),
            ("readOnly", Honoured, ""),
        ],
    },
    Type {
        name: "ImageVolumeSource",
        title: "ImageVolumeSource",
        fields: &[("pullPolicy", Honoured, ""), ("reference", Honoured, "")],
    },
];
