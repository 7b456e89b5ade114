//! Commands that use the runtime's streams.

use super::{LABEL, LAST, LATEST, STATES, command, number, switch, text};
use crate::flags::{Command, Flag};

const TTY: Flag = switch(&["tty", "t"], "Use a terminal");
const TRANSPORT: Flag = text(&["transport", "r"], "What carries the streams: spdy or websocket")
    .default("spdy")
    .one_of(&["spdy", "websocket"]);
const TLS_SNI: Flag =
    text(&["tls-sni", "tls-server-name"], "Whom the runtime's certificate must be for")
        .default("localhost");
const TLS_CA: Flag = text(&["tls-ca"], "Who may have signed the runtime's certificate, a PEM file");
const TLS_CERT: Flag = text(&["tls-cert"], "Certificate to show to the runtime, a PEM file");
const TLS_KEY: Flag = text(&["tls-key"], "Key of that certificate, a PEM file");

pub(super) const ATTACH: Command = command(
    &["attach"],
    "Join the input and output of a container",
    "CONTAINER-ID",
    &[
        TTY,
        switch(&["stdin", "i"], "Pass standard input on"),
        TRANSPORT,
        TLS_SNI,
        TLS_CA,
        TLS_CERT,
        TLS_KEY,
    ],
);

pub(super) const EXEC: Command = Command {
    about: "With one of --image, --label, --last, --latest, --name, --pod and --state there is no \
            CONTAINER-ID: the command runs in all containers that are found.",
    ..command(
        &["exec"],
        "Run a command in a container",
        "[CONTAINER-ID] COMMAND [ARG...]",
        &[
            switch(&["sync", "s"], "Wait for the command and show its output at once"),
            number(&["timeout"], "With --sync: seconds that the command may take"),
            TTY,
            switch(&["interactive", "i"], "Pass standard input on"),
            TRANSPORT,
            text(&["name"], "In all whose name matches this regular expression"),
            text(&["pod", "p"], "In all of the pod with this id or beginning of one"),
            text(&["image"], "In all of this image"),
            text(&["state"], "In all in this state").one_of(STATES),
            LABEL,
            LATEST,
            LAST,
            switch(&["quiet", "q"], "Do not show ids when there are several containers"),
            switch(&["ignore-errors", "e"], "Succeed whatever becomes of the command"),
            switch(&["parallel", "x"], "Run it in all of them at the same time"),
            TLS_SNI,
            TLS_CA,
            TLS_CERT,
            TLS_KEY,
        ],
    )
};

pub(super) const PORT_FORWARD: Command = Command {
    bundles: false,
    ..command(
        &["port-forward"],
        "Lead local ports to a pod",
        "POD-ID [LOCAL_PORT:]REMOTE_PORT",
        &[TRANSPORT, TLS_SNI, TLS_CA, TLS_CERT, TLS_KEY],
    )
};
