use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as Turn, time::Instant};

/// A tag that was asked for so lately needs not be asked for again: pods that start together ask
/// together.
const FRESH: Duration = Duration::from_secs(2);

/// Who pulls what, so that one image is pulled once however many pods want it.
#[derive(Debug, Default)]
pub struct Pulls(Mutex<BTreeMap<String, Arc<Turn<Option<Instant>>>>>);

impl Pulls {
    /// Waits for everybody who pulls this image, then pulls it, or not if that has just been done.
    ///
    /// # Errors
    /// What the pull gives.
    pub(super) async fn once<E>(
        &self,
        reference: &str,
        pull: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(reference.to_owned()).or_default())
        };
        let mut last = turn.lock().await;
        if last.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        pull.await?;
        *last = Some(Instant::now());
        Ok(())
    }
}
