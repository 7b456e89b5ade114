//! The table of keys.

use std::{net::SocketAddr, path::PathBuf};

use crilet_core::yaml::Scalar;

use super::{
    Config, Embedded,
    value::{self, absolute_path, choice, count, duration, positive_duration, show_duration, text},
};

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its path, such as `images.gcHighPercent`.
    pub path: &'static str,
    /// What it takes, for a person.
    pub takes: &'static str,
    /// An example of it, where there is no value without.
    pub example: &'static str,
    /// Whether a reload is enough for a change.
    pub live: bool,
    /// What it does, in a sentence or more.
    pub doc: &'static str,
    /// Puts a value into a configuration, or says what was expected.
    pub(super) set: fn(&mut Config, &Scalar) -> Result<(), String>,
    /// The value as it would be written; nothing if there is none.
    pub(super) show: fn(&Config) -> Option<String>,
}

const PATH: &str = "an absolute path";
const TIME: &str = "a time";

fn path(value: Option<&PathBuf>) -> Option<String> {
    value.map(|path| path.display().to_string())
}

macro_rules! key {
    ($path:literal, $takes:expr, $example:literal, $live:literal, $doc:literal, $set:expr, $show:expr) => {
        Key {
            path: $path,
            takes: $takes,
            example: $example,
            live: $live,
            doc: $doc,
            set: $set,
            show: $show,
        }
    };
}

/// Every key there is, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key!(
        "nodeName",
        "text",
        "web1",
        false,
        "The node's name: in metrics, in the kubelet-compatible endpoints, and what \
         `spec.nodeName` of the downward API gives. The machine's host name without.",
        |config, value| text(value).map(|text| config.node_name = Some(text)),
        |config| config.node_name.clone()
    ),
    key!(
        "podsDir",
        PATH,
        "",
        false,
        "Directory whose manifests are pods of this node. It is watched: an edit takes effect by \
         itself.",
        |config, value| absolute_path(value).map(|path| config.pods_dir = path),
        |config| path(Some(&config.pods_dir))
    ),
    key!(
        "logLevel",
        "error, warn, info, debug, trace, or a filter such as `crilet=debug,warn`",
        "",
        true,
        "What is logged. The variable CRILET_LOG goes before it.",
        |config, value| value::log_level(value).map(|level| config.log_level = level),
        |config| Some(config.log_level.clone())
    ),
    key!(
        "relistInterval",
        TIME,
        "",
        true,
        "How often the runtime is asked for everything although nothing happened. Deaths of \
         containers are seen at once; this is the net below.",
        |config, value| positive_duration(value).map(|time| config.relist_interval = time),
        |config| Some(show_duration(config.relist_interval))
    ),
    key!(
        "keepDeadContainers",
        "a whole number",
        "",
        true,
        "How many ended containers of each name are kept to be looked at, with their logs.",
        |config, value| count(value, 0, 100).map(|number| config.keep_dead_containers = number),
        |config| Some(config.keep_dead_containers.to_string())
    ),
    key!(
        "api.socket",
        PATH,
        "",
        false,
        "The unix socket of the API. `--socket` of `crilet serve` goes before it; clients need \
         `--socket` or CRILET_SOCKET if it is another than this.",
        |config, value| value::socket(value).map(|path| config.api.socket = path),
        |config| path(Some(&config.api.socket))
    ),
    key!(
        "api.group",
        "the name of a group",
        "adm",
        false,
        "Members of this group may use the socket. Whoever may can become root on this machine, by \
         a pod that mounts `/`. Root alone without.",
        |config, value| text(value).map(|group| config.api.group = Some(group)),
        |config| config.api.group.clone()
    ),
    key!(
        "api.tcp.listen",
        "an address and a port",
        "0.0.0.0:10443",
        false,
        "Serves the API over TLS, too; needs `certFile` and `keyFile`, and `tokenFile` or \
         `clientCaFile` or both. Not served over TCP without.",
        |config, value| {
            let listen = value::parsed::<SocketAddr>(value, "such as `127.0.0.1:10443`")?;
            config.api.tcp.listen = Some(listen);
            Ok(())
        },
        |config| config.api.tcp.listen.map(|address| address.to_string())
    ),
    key!(
        "api.tcp.certFile",
        PATH,
        "/etc/crilet/tls/server.pem",
        false,
        "The server's certificate and those between it and its root, in PEM. Read again at a reload.",
        |config, value| absolute_path(value).map(|path| config.api.tcp.cert_file = Some(path)),
        |config| path(config.api.tcp.cert_file.as_ref())
    ),
    key!(
        "api.tcp.keyFile",
        PATH,
        "/etc/crilet/tls/server.key",
        false,
        "The key of the server's certificate, in PEM. Read again at a reload.",
        |config, value| absolute_path(value).map(|path| config.api.tcp.key_file = Some(path)),
        |config| path(config.api.tcp.key_file.as_ref())
    ),
    key!(
        "api.tcp.tokenFile",
        PATH,
        "/etc/crilet/tls/token",
        false,
        "A file that only root can read, with a token of at least 16 characters. Clients that send \
         it (`Authorization: Bearer …`) may do everything. Read again at a reload.",
        |config, value| absolute_path(value).map(|path| config.api.tcp.token_file = Some(path)),
        |config| path(config.api.tcp.token_file.as_ref())
    ),
    key!(
        "api.tcp.clientCaFile",
        PATH,
        "/etc/crilet/tls/clients.pem",
        false,
        "Certificates of those who sign clients' certificates, in PEM. Clients with such a \
         certificate may do everything. Read again at a reload.",
        |config, value| absolute_path(value).map(|path| config.api.tcp.client_ca_file = Some(path)),
        |config| path(config.api.tcp.client_ca_file.as_ref())
    ),
    key!(
        "runtime.endpoint",
        "a socket",
        "unix:///run/containerd/containerd.sock",
        false,
        "The container runtime. `--runtime-endpoint` goes before it; found by itself without. One that \
         is named is waited for.",
        |config, value| value::endpoint(value).map(|end| config.runtime.endpoint = Some(end)),
        |config| config.runtime.endpoint.clone()
    ),
    key!(
        "runtime.imageEndpoint",
        "a socket",
        "unix:///run/containerd/containerd.sock",
        false,
        "The runtime's image service, where it is another.",
        |config, value| value::endpoint(value).map(|end| config.runtime.image_endpoint = Some(end)),
        |config| config.runtime.image_endpoint.clone()
    ),
    key!(
        "runtime.embedded",
        "auto or never",
        "",
        false,
        "Whether crilet's own containerd is brought up where there is no other runtime.",
        |config, value| {
            config.runtime.embedded =
                choice(value, &[("auto", Embedded::Auto), ("never", Embedded::Never)])?;
            Ok(())
        },
        |config| {
            Some(match config.runtime.embedded {
                Embedded::Auto => "auto".to_owned(),
                Embedded::Never => "never".to_owned(),
            })
        }
    ),
    key!(
        "restart.initialBackoff",
        TIME,
        "",
        true,
        "The first restart of a container is immediate; this is the pause before the second one, \
         doubled each time. A pod can say otherwise.",
        |config, value| positive_duration(value).map(|time| config.restart.initial = time),
        |config| Some(show_duration(config.restart.initial))
    ),
    key!(
        "restart.maxBackoff",
        TIME,
        "",
        true,
        "The longest pause before a restart. A pod can say otherwise.",
        |config, value| positive_duration(value).map(|time| config.restart.max = time),
        |config| Some(show_duration(config.restart.max))
    ),
    key!(
        "restart.resetAfter",
        TIME,
        "",
        true,
        "A container that ran this long begins anew: its next restart is immediate. A pod can say \
         otherwise.",
        |config, value| positive_duration(value).map(|time| config.restart.reset = time),
        |config| Some(show_duration(config.restart.reset))
    ),
    key!(
        "logs.maxSize",
        "a size such as 10Mi, or none",
        "",
        false,
        "Size at which a container's log is rotated. The annotation `crilet.dev/log-max-size` of a pod \
         goes before it, and so with the three below; `docs/logs.md` tells more.",
        |config, value| {
            value::log_setting("max-size", value).map(|text| config.logs.max_size = text)
        },
        |config| Some(config.logs.max_size.clone())
    ),
    key!(
        "logs.maxFiles",
        "a number of at least 2",
        "",
        false,
        "Files that are kept of a log, the one that is written among them.",
        |config, value| {
            value::log_setting("max-files", value).map(|text| config.logs.max_files = text)
        },
        |config| Some(config.logs.max_files.clone())
    ),
    key!(
        "logs.maxAge",
        "a time such as 36h or 14d, or none",
        "",
        false,
        "How old lines may get before their file is removed.",
        |config, value| {
            value::log_setting("max-age", value).map(|text| config.logs.max_age = text)
        },
        |config| Some(config.logs.max_age.clone())
    ),
    key!(
        "logs.compression",
        "gzip or none",
        "",
        false,
        "How rotated files are compressed.",
        |config, value| {
            value::log_setting("compression", value).map(|text| config.logs.compression = text)
        },
        |config| Some(config.logs.compression.clone())
    ),
    key!(
        "logs.budget",
        "a size such as 2Gi",
        "2Gi",
        false,
        "What all logs of the node may take together; the oldest rotated files go first. No limit \
         without.",
        |config, value| value::size(value).map(|text| config.logs.budget = Some(text)),
        |config| config.logs.budget.clone()
    ),
    key!(
        "logs.keepGone",
        "a time such as 36h or 14d, or none",
        "",
        false,
        "How long logs of pods are kept that are gone; `none` for as long as there is room. They are \
         the first to go where it is short. Directories that a manifest names are left alone.",
        |config, value| {
            value::log_setting("max-age", value).map(|text| config.logs.keep_gone = text)
        },
        |config| Some(config.logs.keep_gone.clone())
    ),
    key!(
        "logs.minFree",
        "a size such as 256Mi",
        "256Mi",
        false,
        "What stays free on every file system that has logs. 2 % of it and at most 256Mi without.",
        |config, value| value::size(value).map(|text| config.logs.min_free = Some(text)),
        |config| config.logs.min_free.clone()
    ),
    key!(
        "images.gcHighPercent",
        "a percentage",
        "",
        true,
        "Images that nobody needs are removed when the disk that they are on is this full, longest \
         unused first.",
        |config, value| value::percent(value).map(|number| config.images.gc_high_percent = number),
        |config| Some(config.images.gc_high_percent.to_string())
    ),
    key!(
        "images.gcLowPercent",
        "a percentage",
        "",
        true,
        "Removing ends when the disk is no fuller than this.",
        |config, value| value::percent(value).map(|number| config.images.gc_low_percent = number),
        |config| Some(config.images.gc_low_percent.to_string())
    ),
    key!(
        "images.gcMinAge",
        TIME,
        "",
        true,
        "An image is kept this long although nobody needs it.",
        |config, value| duration(value).map(|time| config.images.gc_min_age = time),
        |config| Some(show_duration(config.images.gc_min_age))
    ),
    key!(
        "images.gcMaxAge",
        TIME,
        "30d",
        true,
        "An image that nobody needed for this long is removed, however empty the disk is. Never \
         without.",
        |config, value| positive_duration(value).map(|time| config.images.gc_max_age = Some(time)),
        |config| config.images.gc_max_age.map(show_duration)
    ),
    key!(
        "images.gcInterval",
        TIME,
        "",
        true,
        "How often the disk is looked at.",
        |config, value| positive_duration(value).map(|time| config.images.gc_interval = time),
        |config| Some(show_duration(config.images.gc_interval))
    ),
    key!(
        "images.parallelPulls",
        "a whole number",
        "",
        true,
        "How many images are pulled at the same time.",
        |config, value| count(value, 1, 100).map(|number| config.images.parallel_pulls = number),
        |config| Some(config.images.parallel_pulls.to_string())
    ),
];
