//! Results that are given before all is known.

use super::{CniResult, PluginError};

/// What a plugin gives to a caller who has other work to do meanwhile.
#[derive(Debug)]
pub struct Early {
    /// What ADD says, unless the proof fails.
    pub result: CniResult,
    /// What is still to be looked at.
    pub proof: Proof,
}

/// What takes its time, is rarely otherwise than expected, and has to be known before an attachment is one.
/// Whoever drops it leaves what was made to DEL.
#[derive(Default)]
pub struct Proof(Option<Box<dyn FnOnce() -> Result<(), PluginError>>>);

impl Proof {
    /// A proof that `work` gives, which takes back what its plugin has made when it fails.
    pub fn by(work: impl FnOnce() -> Result<(), PluginError> + 'static) -> Self {
        Self(Some(Box::new(work)))
    }

    /// Looks.
    ///
    /// # Errors
    /// When the result does not hold; then nothing of it is left.
    pub fn give(self) -> Result<(), PluginError> {
        self.0.map_or(Ok(()), |work| work())
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proof").field(&self.0.is_some()).finish()
    }
}
