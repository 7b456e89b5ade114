//! Commands that only look.

use super::{
    FOUR, LABEL, LAST, LATEST, NAMESPACE, NO_TRUNC, NOT_VERBOSE, STATES, TEMPLATE, THREE, TWO,
    WITH_TEMPLATE, command, list, number, output, switch, text,
};
use crate::flags::{Command, Flag};

pub(super) const COMPLETION: Command = Command {
    about: "SHELL is bash, zsh or fish; bash if it is left out.\n\n    source <(crictl completion bash)\n    source <(crictl completion zsh)\n    crictl completion fish | source",
    bundles: false,
    ..command(&["completion"], "Write a script that completes commands in a shell", "SHELL", &[])
};

pub(super) const CONFIG: Command = Command {
    about: "Without an option, sets the option KEY to VALUE.\n\n    crictl config --set debug=true,timeout=5\n    crictl config --get debug\n    crictl config --list\n\nOptions of the file, with their defaults:\n    runtime-endpoint      socket of the runtime (\"\")\n    image-endpoint        socket of the image service (\"\")\n    timeout               seconds a call may take (0: the default of --timeout)\n    debug                 tell what is being done (false)\n    pull-image-on-create  whether create pulls images (false)\n    disable-pull-on-run   whether run does not (false)",
    ..command(
        &["config"],
        "Show or change options in the configuration file",
        "[KEY VALUE]",
        &[
            text(&["get"], "Show the value of an option"),
            list(&["set"], "Set options, KEY=VALUE; several with commas or by repeating it"),
            switch(&["list"], "Show all options"),
        ],
    )
};

pub(super) const EVENTS: Command = command(
    &["events", "event"],
    "Show what happens to containers, as it happens",
    "",
    &[output(WITH_TEMPLATE).default("json"), TEMPLATE],
);

pub(super) const IMAGEFSINFO: Command =
    command(&["imagefsinfo"], "Show what images take on disk", "", &[output(FOUR), TEMPLATE]);

const IMAGE_FILTER: Flag = list(
    &["filter", "f"],
    "Only those for which all conditions hold: dangling=true|false, reference=REGEX, before=IMAGE, since=IMAGE",
);

pub(super) const IMAGES: Command = command(
    &["images", "image", "img"],
    "List images",
    "[REPOSITORY[:TAG]]",
    &[
        switch(&["verbose", "v"], "Show all that is known of each"),
        switch(&["quiet", "q"], "Show ids only"),
        IMAGE_FILTER,
        output(THREE),
        switch(&["digests"], "Show digests, too"),
        NO_TRUNC,
        switch(&["pinned"], "Show whether each is pinned, too"),
    ],
);

pub(super) const INFO: Command = command(
    &["info"],
    "Show the state and configuration of the runtime",
    "",
    &[output(WITH_TEMPLATE).default("json"), NOT_VERBOSE, TEMPLATE],
);

const BY_NAME: Flag = text(&["name"], "Only those whose name matches this regular expression");
const OF_POD: Flag = text(&["pod", "p"], "Only those of the pod with this id or beginning of one");
const OF_IMAGE: Flag = text(&["image"], "Only those of this image");
const IN_STATE: Flag =
    text(&["state", "s"], "Only those in this state: created, running, exited or unknown")
        .one_of(STATES);
const POD_STATE: Flag = text(&["state", "s"], "Only those in this state: ready or notready")
    .one_of(&["ready", "notready"]);

pub(super) const INSPECT: Command = Command {
    bundles: false,
    ..command(
        &["inspect"],
        "Show all that is known of containers",
        "CONTAINER-ID [CONTAINER-ID...]",
        &[
            output(FOUR),
            NOT_VERBOSE,
            TEMPLATE,
            BY_NAME,
            NAMESPACE,
            OF_POD,
            OF_IMAGE,
            IN_STATE,
            LABEL,
            LATEST,
            LAST,
            switch(&["all", "a"], "Also those that do not run"),
        ],
    )
};

pub(super) const INSPECTI: Command = command(
    &["inspecti"],
    "Show all that is known of images",
    "IMAGE-ID [IMAGE-ID...]",
    &[
        output(FOUR),
        NOT_VERBOSE,
        TEMPLATE,
        text(&["name"], "Only images of this name"),
        IMAGE_FILTER,
    ],
);

pub(super) const INSPECTP: Command = command(
    &["inspectp"],
    "Show all that is known of pods",
    "POD-ID [POD-ID...]",
    &[output(FOUR), NOT_VERBOSE, TEMPLATE, BY_NAME, NAMESPACE, POD_STATE, LABEL, LATEST, LAST],
);

pub(super) const LOGS: Command = command(
    &["logs"],
    "Show what a container wrote",
    "CONTAINER-ID",
    &[
        switch(&["follow", "f"], "Go on with what is added"),
        switch(&["previous", "p"], "Show the log of the container that was there before"),
        switch(&["reopen", "r"], "Have the runtime open the log file anew first"),
        number(&["tail"], "Only this many of the last lines").default("-1"),
        number(&["limit-bytes"], "Only this many bytes").default("-1"),
        text(
            &["since"],
            "Only lines since a time such as 2013-01-02T13:23:37, or for a duration such as 42m",
        ),
        switch(&["timestamps", "t"], "Write the time before each line"),
        text(&["stream", "s"], "Only what was written to stdout or to stderr")
            .one_of(&["stdout", "stderr"]),
    ],
);

pub(super) const METRICDESCS: Command =
    command(&["metricdescs"], "Show which metrics of pods the runtime has", "", &[output(TWO)]);

const WATCH: Flag = switch(&["watch", "w"], "Show it again and again");

pub(super) const METRICSP: Command =
    command(&["metricsp"], "Show the metrics of pods", "", &[output(TWO), WATCH]);

pub(super) const PODS: Command = command(
    &["pods"],
    "List pods",
    "",
    &[
        text(&["id"], "Only the one with this id or beginning of one"),
        BY_NAME,
        text(&["namespace"], "Only those whose namespace matches this regular expression"),
        POD_STATE,
        LABEL,
        switch(&["verbose", "v"], "Show all that is known of each"),
        switch(&["quiet", "q"], "Show ids only"),
        output(THREE).default("table"),
        LATEST,
        LAST,
        NO_TRUNC,
    ],
);

pub(super) const PS: Command = command(
    &["ps"],
    "List containers",
    "",
    &[
        switch(&["verbose", "v"], "Show all that is known of each"),
        text(&["id"], "Only the one with this id or beginning of one"),
        BY_NAME,
        OF_POD,
        OF_IMAGE,
        IN_STATE,
        LABEL,
        switch(&["quiet", "q"], "Show ids only"),
        output(THREE).default("table"),
        switch(&["all", "a"], "Also those that do not run"),
        LATEST,
        LAST,
        NO_TRUNC,
        switch(&["resolve-image-path", "r"], "Show images by name instead of by id"),
        NAMESPACE,
    ],
);

pub(super) const RUNTIME_CONFIG: Command =
    command(&["runtime-config"], "Show the cgroup driver of the runtime", "", &[]);

const SECONDS: Flag =
    number(&["seconds", "s"], "Over how many seconds the use of processors is measured")
        .default("1");

pub(super) const STATS: Command = command(
    &["stats"],
    "Show what containers use",
    "[ID]",
    &[
        switch(&["all", "a"], "Also those that do not run"),
        text(&["id"], "Only the one with this id or beginning of one"),
        OF_POD,
        LABEL,
        output(THREE),
        SECONDS,
        WATCH,
    ],
);

pub(super) const STATSP: Command = command(
    &["statsp"],
    "Show what pods use",
    "[ID]",
    &[
        text(&["id"], "Only the one with this id or beginning of one"),
        LABEL,
        output(THREE),
        SECONDS,
        WATCH,
    ],
);

pub(super) const VERSION_COMMAND: Command =
    Command { bundles: false, ..command(&["version"], "Show the version of the runtime", "", &[]) };
