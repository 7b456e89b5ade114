//! Traffic control: a link's token bucket, and the redirection of what a link receives.

use nix::errno::Errno;
use rtnetlink::packet_core::DefaultNla;
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{
        TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption,
        TcActionOption, TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle,
        TcMessage, TcMirror, TcMirrorActionType, TcOption, TcU32Key, TcU32Selector,
        TcU32SelectorFlags,
    },
};

use super::{KernelError, Link, Netlink, netlink::Mode};

const TOKEN_BUCKET: &str = "tbf";
/// The handle that the reference gives its token buckets, `1:`.
const ROOT: TcHandle = TcHandle { major: 1, minor: 0 };
/// The handle of what a link receives, `ffff:`.
const INGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0 };
/// Every protocol, in the order of the network.
const ALL_PROTOCOLS: u16 = 0x0003_u16.to_be();

/// `TCA_TBF_PARMS` and `TCA_TBF_RATE64` of `linux/pkt_sched.h`.
const PARAMETERS: u16 = 1;
const RATE_64: u16 = 4;

/// The limits of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenBucket {
    /// Bytes a second.
    pub(crate) rate: u64,
    /// Bytes that may wait.
    pub(crate) limit: u32,
    /// The bucket's size as the time it takes to fill, in the kernel's ticks of 64 ns.
    pub(crate) buffer: u32,
}

impl TokenBucket {
    /// The options as the kernel takes them: a rate in cells of no size, no peak, limit, buffer.
    fn options(self) -> Vec<TcOption> {
        let narrow = u32::try_from(self.rate).unwrap_or(u32::MAX);
        let words = [0, 0, narrow, 0, 0, 0, self.limit, self.buffer, 0];
        let bytes = words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
        let mut options = vec![TcOption::Other(DefaultNla::new(PARAMETERS, bytes))];
        if u32::try_from(self.rate).is_err() {
            let bytes = self.rate.to_ne_bytes().to_vec();
            options.push(TcOption::Other(DefaultNla::new(RATE_64, bytes)));
        }
        options
    }

    /// Reads the attributes within the options.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (mut bucket, mut wide) = (None, None);
        let mut rest = bytes;
        while let Some((length, kind, value)) = attribute(rest) {
            let word = |number: usize| {
                let bytes = value.get(number * 4..number * 4 + 4)?;
                Some(u32::from_ne_bytes(bytes.try_into().ok()?))
            };
            match kind {
                PARAMETERS => {
                    let rate = u64::from(word(2)?);
                    bucket = Some(Self { rate, limit: word(6)?, buffer: word(7)? });
                }
                RATE_64 => wide = Some(u64::from_ne_bytes(value.get(..8)?.try_into().ok()?)),
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        let bucket: Self = bucket?;
        Some(Self { rate: wide.unwrap_or(bucket.rate), ..bucket })
    }
}

/// Length, kind and value of the first attribute.
fn attribute(bytes: &[u8]) -> Option<(usize, u16, &[u8])> {
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let length = usize::from(half(0)?);
    Some((length, half(2)?, bytes.get(4..length)?))
}

impl Netlink {
    /// Lets what a link sends pass a token bucket, in place of one that it had.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when the link has another queueing discipline.
    pub(crate) fn set_token_bucket(
        &self,
        link: &Link,
        bucket: TokenBucket,
    ) -> Result<(), KernelError> {
        let message = || {
            let mut message = message(link, ROOT, TcHandle::ROOT, TOKEN_BUCKET);
            message.attributes.push(TcAttribute::Options(bucket.options()));
            RouteNetlinkMessage::NewQueueDiscipline(message)
        };
        let action = || format!("limit the rate of link `{}`", link.name);
        match self.request(message(), Mode::Create, action) {
            Err(error) if error.is(&[Errno::EEXIST]) => {
                if self.token_bucket(link)?.is_none() {
                    return Err(error);
                }
                self.request(message(), Mode::Replace, action).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// The token bucket of what a link sends.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn token_bucket(&self, link: &Link) -> Result<Option<TokenBucket>, KernelError> {
        let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let action = || format!("list the queueing disciplines of link `{}`", link.name);
        let answers = self.request(message, Mode::List, action)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewQueueDiscipline(message)
                if is_of(&message, link) && message.header.parent == TcHandle::ROOT =>
            {
                bucket_of(&message)
            }
            _ => None,
        }))
    }

    /// Takes a link's token bucket away; one that has none is left as it is.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn remove_token_bucket(&self, link: &Link) -> Result<(), KernelError> {
        if self.token_bucket(link)?.is_none() {
            return Ok(());
        }
        self.remove_discipline(link, ROOT, TcHandle::ROOT)
    }

    /// Sends everything that `from` receives out by `to`.
    ///
    /// The filter has two actions as the reference's has, of which the second is never reached.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when something else takes what the link receives.
    pub(crate) fn redirect(&self, from: &Link, to: &Link) -> Result<(), KernelError> {
        let discipline = message(from, INGRESS, TcHandle::INGRESS, "ingress");
        let discipline = RouteNetlinkMessage::NewQueueDiscipline(discipline);
        let action = || format!("take what link `{}` receives", from.name);
        self.request(discipline, Mode::Create, action)?;
        let mut filter = message(from, TcHandle::UNSPEC, INGRESS, TcFilterU32::KIND);
        filter.header.info = TcHandle { major: 1, minor: ALL_PROTOCOLS }.into();
        let options = redirection(to).into_iter().map(TcOption::U32).collect();
        filter.attributes.push(TcAttribute::Options(options));
        let action = || format!("redirect what link `{}` receives to `{}`", from.name, to.name);
        self.request(RouteNetlinkMessage::NewTrafficFilter(filter), Mode::Create, action).map(drop)
    }

    /// Numbers of the links that what a link receives is redirected to; 0 for one that is gone.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn redirections(&self, link: &Link) -> Result<Vec<u32>, KernelError> {
        let mut message = TcMessage::default();
        message.header.index = index(link);
        message.header.parent = INGRESS;
        let action = || format!("list what takes packets of link `{}`", link.name);
        let message = RouteNetlinkMessage::GetTrafficFilter(message);
        let answers = match self.request(message, Mode::List, action) {
            // There is no such discipline.
            Err(error) if error.is(&[Errno::EINVAL, Errno::ENOENT]) => return Ok(Vec::new()),
            answers => answers?,
        };
        let filters = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewTrafficFilter(message) => Some(targets(message)),
            _ => None,
        });
        Ok(filters.flatten().collect())
    }

    /// Stops redirecting what a link receives.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn remove_redirection(&self, link: &Link) -> Result<(), KernelError> {
        self.remove_discipline(link, INGRESS, TcHandle::INGRESS)
    }

    fn remove_discipline(
        &self,
        link: &Link,
        handle: TcHandle,
        parent: TcHandle,
    ) -> Result<(), KernelError> {
        let mut message = TcMessage::default();
        message.header.index = index(link);
        message.header.handle = handle;
        message.header.parent = parent;
        let action = || format!("remove a queueing discipline of link `{}`", link.name);
        let message = RouteNetlinkMessage::DelQueueDiscipline(message);
        match self.request(message, Mode::Change, action) {
            Err(error) if error.is(&[Errno::ENOENT, Errno::EINVAL, Errno::ENODEV]) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The kernel numbers links with signed numbers, of which none is negative.
fn index(link: &Link) -> i32 {
    i32::try_from(link.index).unwrap_or_default()
}

fn is_of(message: &TcMessage, link: &Link) -> bool {
    message.header.index == index(link)
}

fn message(link: &Link, handle: TcHandle, parent: TcHandle, kind: &str) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index(link);
    message.header.handle = handle;
    message.header.parent = parent;
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    message
}

fn bucket_of(message: &TcMessage) -> Option<TokenBucket> {
    let is_bucket = message
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, TcAttribute::Kind(kind) if kind == TOKEN_BUCKET));
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.first(),
        _ => None,
    });
    match options {
        Some(TcOption::Other(options)) if is_bucket => {
            let mut bytes = vec![0; rtnetlink::packet_core::Nla::value_len(options)];
            rtnetlink::packet_core::Nla::emit_value(options, &mut bytes);
            TokenBucket::read(&bytes)
        }
        _ => None,
    }
}

/// A filter that every packet matches, and what becomes of it.
fn redirection(to: &Link) -> Vec<TcFilterU32Option> {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.nkeys = 1;
    selector.keys = vec![TcU32Key::default()];
    let actions = [(1, TcActionType::Stolen), (2, TcActionType::Ok)];
    let actions = actions.into_iter().map(|(number, outcome)| {
        let mut generic = TcActionGeneric::default();
        generic.action = outcome;
        let mut mirror = TcMirror::default();
        mirror.generic = generic;
        mirror.eaction = TcMirrorActionType::EgressRedir;
        mirror.ifindex = to.index;
        let mut action = TcAction::default();
        action.tab = number;
        action.attributes = vec![
            TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
            TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(
                mirror,
            ))]),
        ];
        action
    });
    vec![
        TcFilterU32Option::Selector(selector),
        TcFilterU32Option::ClassId(TcHandle { major: 1, minor: 1 }),
        TcFilterU32Option::Action(actions.collect()),
    ]
}

/// Numbers of the links that a filter redirects to.
fn targets(filter: TcMessage) -> Vec<u32> {
    let options = filter.attributes.into_iter().filter_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    });
    let actions = options.flatten().filter_map(|option| match option {
        TcOption::U32(TcFilterU32Option::Action(actions)) => Some(actions),
        _ => None,
    });
    let attributes = actions.flatten().flat_map(|action| action.attributes);
    let options = attributes.filter_map(|attribute| match attribute {
        TcActionAttribute::Options(options) => Some(options),
        _ => None,
    });
    let targets = options.flatten().filter_map(|option| match option {
        TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror)) => Some(mirror.ifindex),
        _ => None,
    });
    targets.collect()
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::Emitable;

    use super::*;

    #[test]
    fn buckets_are_read_as_they_are_written() {
        for rate in [1_000_000, 5_000_000_000] {
            let bucket = TokenBucket { rate, limit: 125_000, buffer: 1_562_500 };
            let options = bucket.options();
            let mut bytes = vec![0; options.as_slice().buffer_len()];
            options.as_slice().emit(&mut bytes);
            assert_eq!(TokenBucket::read(&bytes), Some(bucket));
        }
        assert_eq!(TokenBucket::read(&[]), None);
        assert_eq!(TokenBucket::read(&[8, 0, 1, 0, 1, 2, 3, 4]), None);
        assert_eq!(TokenBucket::read(&[0, 0, 1, 0]), None);
    }
}
