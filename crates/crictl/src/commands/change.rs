//! Commands that change something.

use super::{command, list, number, of, switch, text};
use crate::flags::{Command, Flag, Kind};

pub(super) const CHECKPOINT: Command = command(
    &["checkpoint"],
    "Write the state of running containers into archives",
    "CONTAINER-ID [CONTAINER-ID...]",
    &[text(
        &["export", "e"],
        "The archive, a path of the runtime's such as /path/to/checkpoint.tar",
    )],
);

const NO_PULL: Flag =
    switch(&["no-pull"], "Do not pull the image, whatever the configuration says");
const WITH_PULL: Flag = switch(&["with-pull"], "Pull the image, whatever the configuration says");
const CREDS: Flag =
    text(&["creds"], "User and password for the registry").value("USERNAME[:PASSWORD]");
const AUTH: Flag =
    text(&["auth"], "User and password for the registry, USERNAME[:PASSWORD] in base64")
        .value("AUTH_STRING");
const USERNAME: Flag =
    text(&["username"], "User for the registry; the password is asked for").value("USERNAME");
const CANCEL_TIMEOUT: Flag = of(
    Kind::Duration,
    &["cancel-timeout", "T"],
    "How long the runtime may take before it is given up",
);
const PULL_TIMEOUT: Flag = Flag {
    variable: "CRICTL_PULL_TIMEOUT",
    ..of(Kind::Duration, &["pull-timeout", "pt"], "How long a pull may take; 0s for however long")
};
const RUNTIME: Flag = text(&["runtime", "r"], "Handler of the runtime that is to run the pod");

const SCHEMAS: Command = Command {
    ..command(
        &["jsonschema", "js"],
        "Show the JSON schema of pod or container configurations",
        "",
        &[
            switch(&["pod", "p"], "That of PodSandboxConfig"),
            switch(&["container", "c"], "That of ContainerConfig"),
        ],
    )
};

const POD_SCHEMA: Command = Command {
    about: "It is that of PodSandboxConfig.",
    bundles: false,
    ..command(&["jsonschema", "js"], "Show the JSON schema of pod configurations", "", &[])
};

pub(super) const CREATE: Command = Command {
    bundles: false,
    commands: &[SCHEMAS],
    ..command(
        &["create"],
        "Create a container in a pod",
        "POD container-config.[json|yaml] pod-config.[json|yaml]",
        &[NO_PULL, WITH_PULL, CREDS, AUTH, USERNAME, CANCEL_TIMEOUT, PULL_TIMEOUT],
    )
};

pub(super) const RUN: Command = Command {
    bundles: false,
    commands: &[SCHEMAS],
    ..command(
        &["run"],
        "Run a pod with a container",
        "container-config.[json|yaml] pod-config.[json|yaml]",
        &[NO_PULL, WITH_PULL, CREDS, AUTH, USERNAME, RUNTIME, CANCEL_TIMEOUT, PULL_TIMEOUT],
    )
};

pub(super) const RUNP: Command = Command {
    bundles: false,
    commands: &[POD_SCHEMA],
    ..command(&["runp"], "Run a pod", "pod-config.[json|yaml]", &[RUNTIME, CANCEL_TIMEOUT])
};

pub(super) const PULL: Command = Command {
    commands: &[POD_SCHEMA],
    ..command(
        &["pull"],
        "Pull an image from a registry",
        "NAME[:TAG|@DIGEST]",
        &[
            CREDS.variable("CRICTL_CREDS"),
            AUTH.variable("CRICTL_AUTH"),
            Flag { names: &["username", "u"], ..USERNAME },
            text(&["pod-config"], "Pod for which the image is pulled")
                .value("pod-config.[json|yaml]"),
            list(&["annotation", "a"], "Annotation for the image, KEY=VALUE"),
            PULL_TIMEOUT,
        ],
    )
};

pub(super) const RM: Command = command(
    &["rm"],
    "Remove containers",
    "CONTAINER-ID [CONTAINER-ID...]",
    &[
        switch(&["force", "f"], "Also if they run"),
        switch(&["keep-logs", "k"], "Leave their log files"),
        switch(&["all", "a"], "Remove all"),
    ],
);

pub(super) const RMI: Command = Command {
    about: "An image is removed with all of its names, also if only one of them is given: the CRI knows no \
            other way.",
    ..command(
        &["rmi"],
        "Remove images",
        "IMAGE-ID [IMAGE-ID...]",
        &[
            switch(&["all", "a"], "Remove all"),
            switch(&["prune", "q"], "Remove all that no container uses and that are not pinned"),
        ],
    )
};

pub(super) const RMP: Command = command(
    &["rmp"],
    "Remove pods",
    "POD-ID [POD-ID...]",
    &[switch(&["force", "f"], "Also if they run"), switch(&["all", "a"], "Remove all")],
);

pub(super) const START: Command = Command {
    bundles: false,
    ..command(
        &["start"],
        "Start containers that were created",
        "CONTAINER-ID [CONTAINER-ID...]",
        &[],
    )
};

pub(super) const STOP: Command = command(
    &["stop"],
    "Stop containers",
    "CONTAINER-ID [CONTAINER-ID...]",
    &[
        number(&["timeout", "t"], "Seconds that they have before they are killed"),
        switch(&["all", "a"], "Stop all that run"),
    ],
);

pub(super) const STOPP: Command =
    Command { bundles: false, ..command(&["stopp"], "Stop pods", "POD-ID [POD-ID...]", &[]) };

pub(super) const UPDATE: Command = Command {
    bundles: false,
    ..command(
        &["update"],
        "Change what running containers may use",
        "CONTAINER-ID [CONTAINER-ID...]",
        &[
            number(&["cpu-count"], "Windows only: number of processors"),
            number(&["cpu-maximum"], "Windows only: share of processors, percent times 100"),
            number(&["cpu-period"], "Period of the processors' quota, microseconds; 0 leaves it"),
            number(&["cpu-quota"], "Time on processors in each period, microseconds; 0 leaves it"),
            number(&["cpu-share"], "Weight against other containers; 0 leaves it"),
            number(&["memory"], "Memory, bytes; 0 leaves it"),
            text(&["cpuset-cpus"], "Processors, such as 0-2,4"),
            text(&["cpuset-mems"], "Memory nodes, such as 0"),
            text(&["oom-score-adj"], "How soon it is killed for want of memory"),
        ],
    )
};

pub(super) const UPDATE_RUNTIME_CONFIG: Command = command(
    &["update-runtime-config"],
    "Tell the runtime the range of pods' addresses",
    "",
    &[text(&["pod-cidr", "p"], "The range, such as 10.1.0.0/24")],
);
