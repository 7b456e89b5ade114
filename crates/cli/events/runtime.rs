//! Events without a daemon: what the runtime's pods and containers tell of themselves.

use std::time::Duration;

use crilet_api::Event;
use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod},
};
use crilet_pod::find;

use super::{EventsArgs, Heard, happenings::Seen, is_since, text};
use crate::{
    connect,
    errors::CliError,
    global::Global,
    output,
    watch::{Patience, Wake},
};

/// How often the runtime is looked at while nothing is heard of it.
const INTERVAL: Duration = Duration::from_millis(500);

/// Prints what is known to have happened and, if asked to, goes on with what happens.
pub(super) async fn run(global: &Global, args: &EventsArgs) -> Result<(), CliError> {
    let client = connect::client(global).await?;
    let mut seen = Seen::default();
    // Listening begins first, so that nothing falls between.
    let mut wake = args.watch.then(|| Wake::start(&client, INTERVAL));
    let (events, pods) = look(&client, &mut seen, &mut Vec::new()).await?;
    let mut filter = Filter::new(args, &pods)?;
    let events = filter.choose(events);
    output::data(&text(&events, args.output, true)?).map_err(CliError::Output)?;
    let Some(wake) = &mut wake else {
        if events.is_empty() {
            output::say("nothing happened that can still be seen");
        }
        return Ok(());
    };
    // What was heard before a look that failed waits for the next.
    let (mut patience, mut heard) = (Patience::default(), Vec::new());
    while !output::reader_is_gone() {
        heard.extend(wake.next().await);
        let look = look(&client, &mut seen, &mut heard).await;
        let Some((events, pods)) = patience.seen(look)? else { continue };
        filter.learn(&pods);
        let events = filter.choose(events);
        output::data(&text(&events, args.output, false)?).map_err(CliError::Output)?;
    }
    Ok(())
}

/// Looks at the runtime: at most by lists, at what has changed more closely.
async fn look(
    client: &Client,
    seen: &mut Seen,
    heard: &mut Vec<Heard>,
) -> Result<(Vec<Event>, Vec<Pod>), CliError> {
    let listed = inventory::read(client, Detail::Lists).await?;
    let changed: Vec<Pod> = seen.changed(&listed).cloned().collect();
    let described = inventory::describe(client, changed, Detail::Full).await?;
    Ok((seen.take(listed.clone(), described, std::mem::take(heard)), listed))
}

/// Whose events are wanted, and since when.
struct Filter<'a> {
    args: &'a EventsArgs,
    /// Namespaces and names.
    pods: Option<Vec<(String, String)>>,
}

impl<'a> Filter<'a> {
    fn new(args: &'a EventsArgs, pods: &[Pod]) -> Result<Self, CliError> {
        let mut filter = Self { args, pods: args.pod.is_some().then(Vec::new) };
        let Some(query) = &args.pod else { return Ok(filter) };
        match (find(pods, query), query.split_once('/')) {
            // A name in full may be one of a pod that is gone, or still to come.
            (Ok(_), _) | (Err(_), Some(_)) => filter.learn(pods),
            (Err(error), None) => return Err(error.into()),
        }
        Ok(filter)
    }

    /// Pods of that name may come and go.
    fn learn(&mut self, pods: &[Pod]) {
        let (Some(query), Some(known)) = (&self.args.pod, &mut self.pods) else { return };
        if let Some((namespace, name)) = query.split_once('/') {
            known.push((namespace.to_owned(), name.to_owned()));
        }
        for pod in find(pods, query).unwrap_or_default() {
            known.push((pod.namespace.clone(), pod.name.clone()));
        }
        known.sort_unstable();
        known.dedup();
    }

    fn choose(&self, events: Vec<Event>) -> Vec<Event> {
        let about = |event: &Event| {
            let is_it = |(namespace, name): &(String, String)| {
                *namespace == event.namespace && *name == event.pod
            };
            self.pods.as_ref().is_none_or(|pods| pods.iter().any(is_it))
        };
        let since = self.args.since;
        events.into_iter().filter(|event| about(event) && is_since(event, since)).collect()
    }
}
