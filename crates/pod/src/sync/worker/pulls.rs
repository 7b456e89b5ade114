use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, Semaphore},
    time::Instant,
};

/// A tag that was asked for so lately needs not be asked for again: pods that start together ask
/// together.
const FRESH: Duration = Duration::from_secs(2);

/// Who pulls what, so that one image is pulled once however many pods want it, and not too many at
/// a time.
#[derive(Debug)]
pub struct Pulls {
    turns: Mutex<BTreeMap<String, Arc<Turn<Option<Instant>>>>>,
    places: Mutex<Arc<Semaphore>>,
}

impl Pulls {
    /// At most so many pulls at a time, at least one.
    pub fn new(limit: usize) -> Self {
        let places = Mutex::new(Arc::new(Semaphore::new(limit.max(1))));
        Self { turns: Mutex::default(), places }
    }

    /// Changes how many there may be. Those under way go on.
    pub fn set_limit(&self, limit: usize) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        *places = Arc::new(Semaphore::new(limit.max(1)));
    }

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
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(reference.to_owned()).or_default())
        };
        let mut last = turn.lock().await;
        if last.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let places = Arc::clone(&self.places.lock().unwrap_or_else(PoisonError::into_inner));
        // Nobody closes it, so that there is a place in the end.
        let place = places.acquire().await;
        pull.await?;
        drop(place);
        *last = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_image_is_pulled_once_and_not_too_many_at_a_time() {
        let pulls = Pulls::new(2);
        let (now, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let pull = async |image: &str| {
            let pull = async {
                all.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, Infallible>(())
            };
            pulls.once(image, pull).await.unwrap();
        };
        let images = ["a", "b", "c", "d", "a", "a", "b"];
        join_all(images.iter().map(|image| pull(image))).await;
        assert_eq!((all.into_inner(), most.into_inner()), (4, 2));
    }
}
