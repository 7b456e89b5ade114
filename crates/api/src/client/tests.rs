use std::io;

use super::{
    Client, ClientError, EventFilter,
    sse::{Message, Parser},
};

fn messages(parser: &mut Parser) -> Vec<(String, String)> {
    parser.complete.drain(..).map(|Message { name, data }| (name, data)).collect()
}

#[test]
fn events_are_read_wherever_they_are_cut() {
    let text = "\u{3a} hello\n\nevent: pod\nid: 3\ndata: {\"ü\":\ndata:1}\n\nevent: x\r\ndata\r\n\r\n\
                event: lost\n\ndata: y\r\r";
    let whole = |name: &str, data: &str| (name.to_owned(), data.to_owned());
    let expected = [whole("pod", "{\"ü\":\n1}"), whole("x", ""), whole("", "y")];
    for size in 1..=text.len() {
        let mut parser = Parser::default();
        text.as_bytes().chunks(size).for_each(|chunk| parser.feed(chunk).unwrap());
        assert_eq!(messages(&mut parser), expected, "cut every {size} bytes");
    }
}

#[test]
fn what_is_not_text_is_refused() {
    assert!(Parser::default().feed(b"data: \xff\n\n").is_err());
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_absent() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none.sock");
    let error = Client::new(&socket).pods().await.unwrap_err();
    assert!(error.is_absent(), "{error:?}");
    assert_eq!(error.to_string(), format!("failed to reach the daemon at `{}`", socket.display()));

    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let error = Client::new(&socket).pods().await.unwrap_err();
    assert!(error.is_absent(), "a socket that nobody listens on: {error:?}");

    let cause = io::Error::from(io::ErrorKind::PermissionDenied);
    let denied = ClientError::Unreachable { socket, cause };
    assert!(!denied.is_absent());
    assert!(denied.hint().unwrap().contains("api.group"));
}

/// Answers every connection with these bytes and closes it.
fn server(answer: &'static [u8]) -> (tempfile::TempDir, Client) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            drop(stream.read(&mut head).await);
            drop(stream.write_all(answer).await);
        }
    });
    (directory, Client::new(socket))
}

#[tokio::test]
async fn something_else_behind_the_socket_is_told_as_such() {
    let (_directory, client) = server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
    let error = client.pods().await.unwrap_err();
    assert!(error.to_string().ends_with("it answered with status 404"), "{error}");

    let (_directory, client) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n17");
    let error = client.node().await.unwrap_err();
    assert!(error.to_string().contains("the answer cannot be read"), "{error}");

    let (_directory, client) = server(b"SSH-2.0-x\r\n");
    let error = client.node().await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn refusals_keep_their_code_even_if_it_is_unknown() {
    let (_directory, client) = server(
        b"HTTP/1.1 418 x\r\ncontent-length: 46\r\n\r\n{\"code\":\"brand-new\",\"message\":\"no\",\"hint\":\"h\"}",
    );
    let ClientError::Refused(error) = client.events(&EventFilter::default()).await.unwrap_err()
    else {
        panic!("not refused")
    };
    assert_eq!(error.code, crate::ErrorCode::Internal);
    assert_eq!((error.message.as_str(), error.hint.as_deref()), ("no", Some("h")));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let (_directory, client) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
    let error = client.pods().await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }) && error.is_passing(), "{error:?}");
}
