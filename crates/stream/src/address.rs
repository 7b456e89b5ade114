//! Where the runtime says its streams are.

use hyper::Uri;

use crate::StreamError;

/// An address out of a runtime's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    /// A name or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What to ask for: path and query.
    pub(crate) target: String,
}

impl Address {
    /// Reads a URL.
    ///
    /// A server that listens on all addresses may name itself by the unspecified one; it is to be had
    /// on the loopback.
    pub(crate) fn parse(url: &str) -> Result<Self, StreamError> {
        let wrong = || StreamError::Address { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']);
        let host = match host {
            "" | "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self { tls, host: host.to_owned(), port, target: target.to_owned() })
    }

    /// Host and port as an authority has them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |url: &str| {
            let address = Address::parse(url).unwrap();
            (address.tls, address.authority(), address.target)
        };
        let plain = |authority: &str, target: &str| (false, authority.into(), target.into());
        assert_eq!(read("http://127.0.0.1:41/exec/x"), plain("127.0.0.1:41", "/exec/x"));
        assert_eq!(read("http://[::]:41/exec/x?a=b"), plain("[::1]:41", "/exec/x?a=b"));
        assert_eq!(read("http://0.0.0.0:1/"), plain("127.0.0.1:1", "/"));
        assert_eq!(read("https://node/x"), (true, "node:443".into(), "/x".into()));
        for wrong in ["", "/exec/x", "ftp://x/y", "http://", "http://a b/"] {
            assert!(Address::parse(wrong).is_err(), "{wrong:?} is no address");
        }
    }
}
