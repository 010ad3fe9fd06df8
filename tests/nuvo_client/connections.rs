//! Connections that cannot be made: why, and that nothing was sent. The servers speak real TLS.

use std::path::PathBuf;

use controlplane::tls::{Authority, Identity, TlsFront, Validity, Version};
use nuvo_client::{AccountTls, Client, Connections, Error, Settings, Unreachable};
use nuvo_core::run::{PostOutcome, Unexecuted};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{
    e, fixed,
    server::{Server, closed_port, json},
    settings, trigger, with_settings,
};

const EXECUTION: &str = r#"{"data":{"id":"e1","status":"RUNNING","pipeline":{"id":"p"}}}"#;
const CREATED: &str = r#"{"data":[{"id":"e1","pipeline":"p"}]}"#;

/// A file in a folder of its own, which is removed with it.
struct File {
    folder: PathBuf,
    path: PathBuf,
}

impl File {
    fn new(name: &str, contents: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("nuvo-{name}-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let file = Self { path: folder.join("ca.crt"), folder };
        file.write(contents);
        file
    }

    /// As Kubernetes does it, the new file takes the place of the old one.
    fn write(&self, contents: &str) {
        let new = self.folder.join("new");
        std::fs::write(&new, contents).unwrap();
        std::fs::rename(&new, &self.path).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn trusting(origin: &str, file: &File) -> Client {
    with_settings(origin, fixed(), Settings { connections: Connections::trusting(file.path.clone()), ..settings() })
}

fn front(server: &Server, identity: &Identity) -> TlsFront {
    TlsFront::start(server.origin.rsplit_once(':').unwrap().1.parse().unwrap(), identity).unwrap()
}

/// A read and a trigger name the reason, and nothing was sent.
async fn assert_unreachable(client: &Client, reason: Unreachable) {
    assert_eq!(client.read(&e("e1")).await.result.map(|_| ()), Err(Error::Unreachable(reason)));
    let outcome = trigger(client).await;
    let wanted = format!("the trigger was not sent: nuvo cannot be reached: {reason}");
    assert!(
        matches!(&outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(..), message } if *message == wanted),
        "{reason:?}: {outcome:?}"
    );
    assert!(!wanted.contains("127.0.0.1") && !wanted.contains("FIXED-TOKEN"), "{wanted}");
}

#[tokio::test]
async fn network_that_does_not_lead_to_nuvo_is_told_apart() {
    let client = |origin: &str| with_settings(origin, fixed(), settings());
    assert_unreachable(&client(&closed_port().await), Unreachable::Refused).await;
    // No name has such a long part, so no server is asked about it.
    assert_unreachable(&client(&format!("http://{}.example", "a".repeat(64))), Unreachable::Name).await;
    // It accepts the connection, and never begins its part of the handshake.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", silent.local_addr().unwrap());
    assert_unreachable(&client(&origin), Unreachable::Timeout).await;
    for (answer, reason) in [("HTTP/1.1 400 Bad Request\r\n\r\n", Unreachable::NotTls), ("", Unreachable::Broken)] {
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("https://{}", plain.local_addr().unwrap());
        let serve = async {
            loop {
                let (mut stream, _) = plain.accept().await.unwrap();
                // All of what came: the end of a connection with unread bytes is another one.
                assert_ne!(stream.read(&mut [0; 4_096]).await.unwrap(), 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let client = client(&origin);
        tokio::select! {
            () = assert_unreachable(&client, reason) => {}
            () = serve => {}
        }
    }
}

#[tokio::test]
async fn certificate_that_is_not_accepted_is_told_apart() {
    let (known, stranger) = (Authority::new("known").unwrap(), Authority::new("stranger").unwrap());
    let file = File::new("told-apart", known.pem());
    let server = Server::start(|_| json(200, EXECUTION)).await;
    let right = known.issue("127.0.0.1", Validity::Now).unwrap();
    let front = front(&server, &right);
    let client = trusting(&front.origin(), &file);
    for (identity, reason) in [
        (stranger.issue("127.0.0.1", Validity::Now).unwrap(), Unreachable::UnknownAuthority),
        (known.issue("elsewhere.example", Validity::Now).unwrap(), Unreachable::WrongName),
        (known.issue("127.0.0.1", Validity::Expired).unwrap(), Unreachable::Expired),
        (known.issue("127.0.0.1", Validity::NotYet).unwrap(), Unreachable::NotValidYet),
    ] {
        front.set_identity(&identity).unwrap();
        assert_unreachable(&client, reason).await;
    }
    assert_eq!(server.requests().len(), 0);
    front.set_identity(&right).unwrap();
    assert!(client.read(&e("e1")).await.result.is_ok());
    // An authority is trusted only where the file says so.
    assert_unreachable(&with_settings(&front.origin(), fixed(), settings()), Unreachable::UnknownAuthority).await;
}

#[tokio::test]
async fn authority_with_an_unsupported_algorithm_is_named() {
    let file = File::new("p521", include_str!("p521/authority.crt"));
    let server = Server::start(|_| json(200, EXECUTION)).await;
    let identity = Identity { certificate: include_str!("p521/server.crt").to_owned(), key: include_str!("p521/server.key").to_owned() };
    let front = front(&server, &identity);
    assert_unreachable(&trusting(&front.origin(), &file), Unreachable::Algorithm).await;
}

#[tokio::test]
async fn authority_file_that_changes_holds_for_the_next_connection() {
    let (old, new) = (Authority::new("old").unwrap(), Authority::new("new").unwrap());
    let file = File::new("rotated", old.pem());
    let server = Server::start(|_| json(200, EXECUTION)).await;
    let front = front(&server, &old.issue("127.0.0.1", Validity::Now).unwrap());
    let client = trusting(&front.origin(), &file);
    assert!(client.read(&e("e1")).await.result.is_ok());
    front.set_identity(&new.issue("127.0.0.1", Validity::Now).unwrap()).unwrap();
    assert_unreachable(&client, Unreachable::UnknownAuthority).await;
    file.write(&format!("{}{}", old.pem(), new.pem()));
    assert!(client.read(&e("e1")).await.result.is_ok());
    // What cannot be understood changes nothing, nor does a file that is away.
    file.write("no certificate");
    assert!(client.read(&e("e1")).await.result.is_ok());
    std::fs::remove_file(&file.path).unwrap();
    assert!(client.read(&e("e1")).await.result.is_ok());
    file.write(old.pem());
    assert_unreachable(&client, Unreachable::UnknownAuthority).await;
}

/// With TLS 1.3, the client has sent the request when the server refuses its certificate. The server has not read it: the handshake, which
/// the certificate is a part of, comes first.
#[tokio::test]
async fn client_certificate_that_is_refused_starts_nothing() {
    let (servers, clients, stranger) =
        (Authority::new("servers").unwrap(), Authority::new("clients").unwrap(), Authority::new("stranger").unwrap());
    let server = Server::start(|request| if request.starts_with("GET") { json(200, EXECUTION) } else { json(200, CREATED) }).await;
    let identity = servers.issue("127.0.0.1", Validity::Now).unwrap();
    let port = server.origin.rsplit_once(':').unwrap().1.parse().unwrap();
    for version in [Version::Tls12, Version::Tls13] {
        let front = TlsFront::with_clients_of(port, &identity, &clients, version).unwrap();
        let client = |certificate: Option<Identity>| {
            let pem = |Identity { certificate, key }: Identity| SecretString::from(format!("{certificate}{key}"));
            let tls = AccountTls { authorities: Some(servers.pem().to_owned()), client_certificate: certificate.map(pem) };
            with_settings(&front.origin(), fixed(), Settings { tls, ..settings() })
        };
        let sent = server.requests().len();
        for wrong in
            [None, Some(stranger.issue("client", Validity::Now).unwrap()), Some(clients.issue("client", Validity::Expired).unwrap())]
        {
            let client = client(wrong);
            let read = client.read(&e("e1")).await.result.map(|_| ());
            assert_eq!(read, Err(Error::Unreachable(Unreachable::ClientCertificate)), "{version:?}");
            let outcome = trigger(&client).await;
            let wanted = format!("the trigger was not carried out: nuvo cannot be reached: {}", Unreachable::ClientCertificate);
            assert!(
                matches!(&outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(..), message } if *message == wanted),
                "{version:?}: {outcome:?}"
            );
        }
        assert_eq!(server.requests().len(), sent, "the server got nothing");
        let right = client(Some(clients.issue("client", Validity::Now).unwrap()));
        assert!(right.read(&e("e1")).await.result.is_ok());
        assert!(matches!(trigger(&right).await, PostOutcome::Accepted(_)), "{version:?}");
        assert_eq!(server.requests().len(), sent + 2);
    }
}

#[test]
fn client_certificate_that_cannot_be_used_is_refused() {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new("clients").unwrap();
    let [one, other] = ["one", "other"].map(|name| authority.issue(name, Validity::Now).unwrap());
    let check = |certificate: &str, key: &str| nuvo_client::check_client_certificate(&SecretString::from(format!("{certificate}\n{key}")));
    assert_eq!(check(&one.certificate, &one.key), Ok(()));
    for (certificate, key, error) in [
        ("", one.key.as_str(), "there is no certificate in tls.crt"),
        (&one.certificate, "", "there is no private key in tls.key"),
        (&one.certificate, &other.key, "the key is not that of the certificate"),
    ] {
        assert_eq!(check(certificate, key), Err(error.to_owned()));
    }
}

#[test]
fn authority_file_that_cannot_be_used_is_refused() {
    let refused = |contents: &str| nuvo_client::check_authority_file(&File::new("refused", contents).path).unwrap_err();
    assert_eq!(refused(""), "there is no certificate in it");
    assert_eq!(refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "there is no certificate in it");
    refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(nuvo_client::check_authority_file(&PathBuf::from("/there/is/no/such/file")).unwrap_err().contains("No such file"));
    let file = File::new("accepted", Authority::new("accepted").unwrap().pem());
    nuvo_client::check_authority_file(&file.path).unwrap();
}
