//! What a command tells people who look for a fault: events of tracing, on stderr.

use std::{io, sync::OnceLock};

use tracing::{
    Event, Level, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::{Interest, set_global_default},
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::connect;

/// Has events told from now on: warnings, or what `-v` and `CRILET_LOG` ask for.
pub(crate) fn tell(verbose: u8) {
    let chosen = connect::log_filter();
    let default = match verbose {
        0 => "warn",
        1 => "crilet=debug,warn",
        _ => "debug",
    };
    if chosen.is_none() && verbose == 0 {
        // Nobody else sets one.
        return set_global_default(Warnings::by(|| written(io::stderr))).unwrap_or_default();
    }
    let chosen = chosen.and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = chosen.unwrap_or_else(|| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

type Writer = Box<dyn Subscriber + Send + Sync>;

fn written(to: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> Writer {
    Box::new(tracing_subscriber::fmt().with_max_level(Level::WARN).with_writer(to).finish())
}

/// Tells warnings. What writes them is made for the first one: it takes longer to make than some commands
/// run, and few of them warn.
struct Warnings {
    make: fn() -> Writer,
    made: OnceLock<Writer>,
}

impl Warnings {
    fn by(make: fn() -> Writer) -> Self {
        Self { make, made: OnceLock::new() }
    }

    fn writer(&self) -> &Writer {
        self.made.get_or_init(self.make)
    }
}

impl Subscriber for Warnings {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.writer().new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.writer().record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.writer().record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        self.writer().event(event);
    }

    fn enter(&self, span: &Id) {
        self.writer().enter(span);
    }

    fn exit(&self, span: &Id) {
        self.writer().exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.writer().clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.writer().try_close(id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, debug_span, error_span, subscriber::with_default, warn};

    use super::*;

    static TOLD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Told;

    impl io::Write for Told {
        fn write(&mut self, words: &[u8]) -> io::Result<usize> {
            TOLD.lock().unwrap().write(words)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_warning_makes_what_writes_it() {
        let warnings = Arc::new(Warnings::by(|| written(|| Told)));
        with_default(warnings.clone(), || {
            debug_span!("unseen").in_scope(|| debug!("not told"));
            assert!(warnings.made.get().is_none());
            warn!(pod = "blog", "told");
            error_span!("seen", depth = 2).in_scope(|| warn!("told within"));
        });
        let told = String::from_utf8(TOLD.lock().unwrap().clone()).unwrap();
        let told: Vec<_> = told.lines().collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("WARN") && told[0].contains("told"), "{told:?}");
        assert!(told[1].contains("seen") && told[1].contains("told within"), "{told:?}");
    }
}
