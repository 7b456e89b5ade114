use std::{error::Error, fmt};

/// Displays an error followed by its causes, outermost first, joined by `": "`.
///
/// crilet's errors never repeat their cause in their own text, so the chain reads as one sentence.
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read `{path}`")]
    struct Outer {
        path: &'static str,
        #[source]
        cause: std::io::Error,
    }

    #[test]
    fn causes_follow_their_error() {
        let cause = std::io::Error::other("no space left");
        let error = Outer { path: "/etc/x", cause };
        assert_eq!(ErrorChain(&error).to_string(), "read `/etc/x`: no space left");
    }
}
