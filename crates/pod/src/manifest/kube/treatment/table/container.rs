//! Containers.

use crate::manifest::kube::treatment::{
    Treatment::{Honoured, Ignored, Refused},
    Type,
};

pub(super) const TYPES: &[Type] = &[
    Type {
        name: "Container",
        title: "Container",
        fields: &[
            ("args", Honoured, "`$(VAR)` is expanded"),
            ("command", Honoured, "`$(VAR)` is expanded"),
            ("env", Honoured, ""),
            ("envFrom", Honoured, ""),
            ("image", Honoured, ""),
            (
                "imagePullPolicy",
                Honoured,
                "`Always` for `:latest` and no tag by default, else `IfNotPresent`",
            ),
            ("lifecycle", Honoured, "not of plain init containers"),
            ("livenessProbe", Honoured, "not of plain init containers"),
            ("name", Honoured, ""),
            ("ports", Honoured, "host ports of init containers too"),
            ("readinessProbe", Honoured, "not of plain init containers"),
            ("resizePolicy", Ignored("changed resources make a new container"), ""),
            ("resources", Honoured, ""),
            ("restartPolicy", Honoured, ""),
            ("restartPolicyRules", Honoured, ""),
            ("securityContext", Honoured, ""),
            ("startupProbe", Honoured, "not of plain init containers"),
            ("stdin", Honoured, ""),
            ("stdinOnce", Honoured, ""),
            ("terminationMessagePath", Honoured, ""),
            ("terminationMessagePolicy", Honoured, ""),
            ("tty", Honoured, ""),
            (
                "volumeDevices",
                Refused(
                    "block devices of claims do not exist here",
                    "mount a `hostPath` of type BlockDevice",
                ),
                "",
            ),
            ("volumeMounts", Honoured, ""),
            ("workingDir", Honoured, "`$(VAR)` is not expanded"),
        ],
    },
    Type {
        name: "ContainerPort",
        title: "ContainerPort",
        fields: &[
            ("containerPort", Honoured, ""),
            ("hostIP", Honoured, ""),
            ("hostPort", Honoured, ""),
            ("name", Honoured, ""),
            ("protocol", Honoured, ""),
        ],
    },
    Type {
        name: "EnvVar",
        title: "EnvVar",
        fields: &[
            ("name", Honoured, ""),
            ("value", Honoured, "`$(VAR)` of variables before it is expanded"),
            ("valueFrom", Honoured, ""),
        ],
    },
    Type {
        name: "EnvVarSource",
        title: "EnvVarSource",
        fields: &[
            ("configMapKeyRef", Honoured, ""),
            ("fieldRef", Honoured, ""),
            (
                "fileKeyRef",
                Refused(
                    "variables out of files that another container writes are not read",
                    "write them to a volume and let the container read it",
                ),
                "",
            ),
            ("resourceFieldRef", Honoured, ""),
            ("secretKeyRef", Honoured, ""),
        ],
    },
    Type {
        name: "ObjectFieldSelector",
        title: "ObjectFieldSelector",
        fields: &[("apiVersion", Honoured, "`v1`"), ("fieldPath", Honoured, "")],
    },
    Type {
        name: "ResourceFieldSelector",
        title: "ResourceFieldSelector",
        fields: &[
            ("containerName", Honoured, ""),
            ("divisor", Honoured, ""),
            ("resource", Honoured, "without a limit the machine's"),
        ],
    },
    Type {
        name: "ConfigMapKeySelector",
        title: "ConfigMapKeySelector",
        fields: &[("key", Honoured, ""), ("name", Honoured, ""), ("optional", Honoured, "")],
    },
    Type {
        name: "SecretKeySelector",
        title: "SecretKeySelector",
        fields: &[("key", Honoured, ""), ("name", Honoured, ""), ("optional", Honoured, "")],
    },
    Type {
        name: "EnvFromSource",
        title: "EnvFromSource",
        fields: &[
            ("configMapRef", Honoured, ""),
            ("prefix", Honoured, ""),
            ("secretRef", Honoured, ""),
        ],
    },
    Type {
        name: "ConfigMapEnvSource",
        title: "ConfigMapEnvSource",
        fields: &[("name", Honoured, ""), ("optional", Honoured, "")],
    },
    Type {
        name: "SecretEnvSource",
        title: "SecretEnvSource",
        fields: &[("name", Honoured, ""), ("optional", Honoured, "")],
    },
    Type {
        name: "ResourceRequirements",
        title: "ResourceRequirements",
        fields: &[
            ("claims", Refused("devices are not allocated", ""), ""),
            ("limits", Honoured, "`cpu`, `memory`, `hugepages-SIZE`"),
            ("requests", Honoured, "`cpu`, `memory`"),
        ],
    },
    Type {
        name: "ContainerRestartRule",
        title: "ContainerRestartRule",
        fields: &[("action", Honoured, ""), ("exitCodes", Honoured, "")],
    },
    Type {
        name: "ContainerRestartRuleOnExitCodes",
        title: "ContainerRestartRuleOnExitCodes",
        fields: &[("operator", Honoured, ""), ("values", Honoured, "")],
    },
    Type {
        name: "Lifecycle",
        title: "Lifecycle",
        fields: &[
            ("postStart", Honoured, ""),
            ("preStop", Honoured, ""),
            ("stopSignal", Honoured, "where the runtime knows it (CRI of Kubernetes 1.33)"),
        ],
    },
    Type {
        name: "LifecycleHandler",
        title: "LifecycleHandler",
        fields: &[
            ("exec", Honoured, ""),
            ("httpGet", Honoured, ""),
            ("sleep", Honoured, ""),
            ("tcpSocket", Honoured, ""),
        ],
    },
    Type { name: "SleepAction", title: "SleepAction", fields: &[("seconds", Honoured, "")] },
    Type {
        name: "Probe",
        title: "Probe",
        fields: &[
            ("exec", Honoured, ""),
            ("failureThreshold", Honoured, "3 by default"),
            ("grpc", Honoured, ""),
            ("httpGet", Honoured, ""),
            ("initialDelaySeconds", Honoured, ""),
            ("periodSeconds", Honoured, "10 by default"),
            ("successThreshold", Honoured, "1 by default"),
            ("tcpSocket", Honoured, ""),
            ("terminationGracePeriodSeconds", Honoured, ""),
            ("timeoutSeconds", Honoured, "1 by default"),
        ],
    },
    Type { name: "ExecAction", title: "ExecAction", fields: &[("command", Honoured, "")] },
    Type {
        name: "HTTPGetAction",
        title: "HTTPGetAction",
        fields: &[
            ("host", Honoured, "the pod's address by default"),
            ("httpHeaders", Honoured, ""),
            ("path", Honoured, ""),
            ("port", Honoured, ""),
            ("scheme", Honoured, ""),
        ],
    },
    Type {
        name: "HTTPHeader",
        title: "HTTPHeader",
        fields: &[("name", Honoured, ""), ("value", Honoured, "")],
    },
    Type {
        name: "TCPSocketAction",
        title: "TCPSocketAction",
        fields: &[("host", Honoured, "the pod's address by default"), ("port", Honoured, "")],
    },
    Type {
        name: "GRPCAction",
        title: "GRPCAction",
        fields: &[("port", Honoured, ""), ("service", Honoured, "")],
    },
    Type {
        name: "SecurityContext",
        title: "SecurityContext",
        fields: &[
            ("allowPrivilegeEscalation", Honoured, ""),
            ("appArmorProfile", Honoured, ""),
            ("capabilities", Honoured, ""),
            ("privileged", Honoured, ""),
            ("procMount", Honoured, ""),
            ("readOnlyRootFilesystem", Honoured, ""),
            ("runAsGroup", Honoured, ""),
            ("runAsNonRoot", Honoured, ""),
            ("runAsUser", Honoured, ""),
            ("seLinuxOptions", Honoured, ""),
            (
                "seccompProfile",
                Honoured,
                "`RuntimeDefault` by default; privileged containers have none",
            ),
            ("windowsOptions", Refused("settings for Windows are not possible on Linux", ""), ""),
        ],
    },
    Type {
        name: "Capabilities",
        title: "Capabilities",
        fields: &[("add", Honoured, ""), ("drop", Honoured, "")],
    },
    Type {
        name: "VolumeMount",
        title: "VolumeMount",
        fields: &[
            ("mountPath", Honoured, ""),
            ("mountPropagation", Honoured, ""),
            ("name", Honoured, ""),
            ("readOnly", Honoured, ""),
            ("recursiveReadOnly", Honoured, ""),
            ("subPath", Honoured, ""),
            ("subPathExpr", Honoured, "`$(VAR)` is expanded"),
        ],
    },
];
