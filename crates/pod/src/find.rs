use crilet_core::similar;
use crilet_cri::inventory::{Pod, PodState};

/// Shortest part of an id that may stand for it.
const SHORTEST_PREFIX: usize = 3;

/// Why no pod could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nothing of that name or id.
    #[error("no pod `{query}`{}", suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?")))]
    NotFound {
        /// What was looked for.
        query: String,
        /// A name that is nearly the same.
        suggestion: Option<String>,
    },
    /// More than one pod.
    #[error("`{query}` may be any of {}", candidates.join(", "))]
    Ambiguous {
        /// What was looked for.
        query: String,
        /// `namespace/name` or ids of all that it may be.
        candidates: Vec<String>,
    },
}

/// Finds the pod that a person means.
///
/// A name wins over an id's prefix. A name stands for all sandboxes that the pod has (one runs,
/// others may be left from before): they are given with the running one first, else the newest.
/// An id or its prefix stands for the one sandbox.
///
/// # Errors
/// [`FindError`] when nothing or more than one pod fits.
pub fn find<'a>(pods: &'a [Pod], query: &str) -> Result<Vec<&'a Pod>, FindError> {
    let named = by_name(pods, query);
    if !named.is_empty() {
        return one_pod(named, query);
    }
    let exact: Vec<_> = pods.iter().filter(|pod| pod.id == query).collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let mut prefixed: Vec<_> = Vec::new();
    if query.len() >= SHORTEST_PREFIX {
        prefixed.extend(pods.iter().filter(|pod| pod.id.starts_with(query)));
    }
    match prefixed.len() {
        0 => Err(not_found(pods, query)),
        1 => Ok(prefixed),
        _ => Err(FindError::Ambiguous {
            query: query.to_owned(),
            candidates: prefixed.iter().map(|pod| pod.id.chars().take(13).collect()).collect(),
        }),
    }
}

fn by_name<'a>(pods: &'a [Pod], query: &str) -> Vec<&'a Pod> {
    let matches = |pod: &&Pod| match query.split_once('/') {
        Some((namespace, name)) => pod.namespace == namespace && pod.name == name,
        None => pod.name == query,
    };
    pods.iter().filter(matches).collect()
}

/// All sandboxes of one pod, unless the name is used in several namespaces.
fn one_pod<'a>(mut named: Vec<&'a Pod>, query: &str) -> Result<Vec<&'a Pod>, FindError> {
    let mut candidates: Vec<_> = named.iter().map(|pod| pod.full_name()).collect();
    candidates.sort_unstable();
    candidates.dedup();
    if candidates.len() > 1 {
        return Err(FindError::Ambiguous { query: query.to_owned(), candidates });
    }
    named.sort_by_key(|pod| {
        (pod.state != PodState::Ready, std::cmp::Reverse((pod.created_at, pod.attempt)))
    });
    Ok(named)
}

fn not_found(pods: &[Pod], query: &str) -> FindError {
    let full: Vec<_> = pods.iter().map(Pod::full_name).collect();
    let names = pods.iter().map(|pod| pod.name.as_str()).chain(full.iter().map(String::as_str));
    let suggestion = similar(query, names).map(ToOwned::to_owned);
    FindError::NotFound { query: query.to_owned(), suggestion }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn pod(id: &str, namespace: &str, name: &str, state: PodState, age: u64) -> Pod {
        Pod {
            id: id.into(),
            name: name.into(),
            namespace: namespace.into(),
            uid: String::new(),
            attempt: 0,
            state,
            created_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age),
            labels: Default::default(),
            annotations: Default::default(),
            runtime_handler: String::new(),
            details: None,
            containers: Vec::new(),
        }
    }

    fn ids(pods: &[Pod], query: &str) -> Result<Vec<String>, FindError> {
        find(pods, query).map(|found| found.iter().map(|pod| pod.id.clone()).collect())
    }

    #[test]
    fn names_ids_and_prefixes_are_told_apart() {
        let pods = [
            pod("abc111", "default", "blog", PodState::NotReady, 1),
            pod("abc222", "default", "blog", PodState::Ready, 5),
            pod("def333", "other", "abc222", PodState::Ready, 2),
            pod("fff444", "other", "db", PodState::Ready, 2),
            pod("eee555", "test", "db", PodState::Ready, 2),
        ];
        assert_eq!(ids(&pods, "blog").unwrap(), ["abc222", "abc111"]);
        assert_eq!(ids(&pods, "default/blog").unwrap(), ["abc222", "abc111"]);
        assert_eq!(ids(&pods, "abc222").unwrap(), ["def333"], "a name wins over an id");
        assert_eq!(ids(&pods, "abc1").unwrap(), ["abc111"]);
        let both = ids(&pods, "abc").unwrap_err().to_string();
        assert_eq!(both, "`abc` may be any of abc111, abc222");
        let twice = ids(&pods, "db").unwrap_err().to_string();
        assert_eq!(twice, "`db` may be any of other/db, test/db");
        let none = ids(&pods, "blgo").unwrap_err().to_string();
        assert_eq!(none, "no pod `blgo`; did you mean `blog`?");
        assert!(ids(&pods, "ab").is_err(), "too short for a prefix");
        assert!(ids(&pods, "").is_err());
    }
}
