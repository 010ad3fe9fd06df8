//! Connections to nuvo by real TLS: whom the operator trusts, and what it says when it cannot connect.

use std::{net::TcpListener, path::PathBuf};

use controlplane::tls::{Authority, TlsFront, Validity, Version};
use nuvo_crds::Phase;
use nuvo_sim::{Pipeline, SimConfig};
use serde_json::{Value, json};

use crate::environment::{Environment, assert_consistent, block_on};

/// A simulator that is reached through TLS, as a server of this authority.
fn front(env: &Environment, authority: &Authority, name: &str, validity: Validity) -> TlsFront {
    TlsFront::start(env.sim.address().port(), &authority.issue(name, validity).unwrap()).unwrap()
}

fn environment(name: &str) -> Environment {
    let pipelines = vec![Pipeline::new("orders")];
    let env = Environment::without_account(name, SimConfig { pipelines, ..SimConfig::default() });
    env.credential("nuvo-credentials", "demo-license-key");
    env
}

/// A file of authorities in the folder of the server, written as Kubernetes writes one: the new file takes the place of the old one.
fn write_authorities(env: &Environment, authorities: &[&Authority]) -> PathBuf {
    let folder = env.server.folder();
    let (path, new) = (folder.join(format!("{}.crt", env.namespace)), folder.join(format!("{}.new", env.namespace)));
    std::fs::write(&new, authorities.iter().map(|authority| authority.pem()).collect::<String>()).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path
}

fn account(env: &Environment, name: &str, origin: &str) {
    env.account_with(name, json!({ "baseUrl": format!("{origin}/dp/api/v1") }));
}

fn wait_message(env: &Environment, account: &str, words: &str) -> String {
    let message = || {
        let conditions = block_on(env.accounts().get(account)).unwrap().status.unwrap_or_default().conditions;
        conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.message).unwrap_or_default()
    };
    env.eventually(&format!("{account}: {words:?}"), || message().contains(words));
    message()
}

#[test]
fn reason_why_nuvo_cannot_be_reached_is_in_condition_and_log() {
    let env = environment("unreachable");
    let (known, stranger) = (Authority::new("known").unwrap(), Authority::new("stranger").unwrap());
    let file = write_authorities(&env, &[&known]).display().to_string();
    let unknown = front(&env, &stranger, "127.0.0.1", Validity::Now);
    let misnamed = front(&env, &known, "elsewhere.example", Validity::Now);
    let expired = front(&env, &known, "127.0.0.1", Validity::Expired);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let accounts = [
        ("unknown", unknown.origin(), "its certificate is from an unknown authority"),
        ("misnamed", misnamed.origin(), "its certificate is for another name"),
        ("expired", expired.origin(), "its certificate has expired"),
        ("refused", "https://127.0.0.1:1".to_owned(), "the connection was refused"),
        ("silent", format!("https://{}", silent.local_addr().unwrap()), "there was no connection in time"),
        // No name has such a long part, so no server is asked about it.
        ("nameless", format!("http://{}.example", "a".repeat(64)), "its name cannot be resolved"),
    ];
    let mut flags = vec!["--additional-ca-file", file.as_str()];
    flags.extend(accounts.iter().flat_map(|(_, origin, _)| ["--allowed-base-url", origin.as_str()]));
    let operator = env.operator_with(&flags);
    for (name, origin, _) in &accounts {
        account(&env, name, origin);
    }
    for (name, origin, reason) in &accounts {
        let message = wait_message(&env, name, reason);
        assert!(!message.contains(origin.split_once("://").unwrap().1), "the address is in {message}");
        env.eventually(&format!("{reason:?} in the log"), || {
            let is_about = |line: &str| line.contains(reason) && line.contains(&format!("name={name}"));
            operator.0.log().lines().any(|line| is_about(line) || is_about(&line.replace('"', "")))
        });
    }
    env.start("orders", "orders", json!({ "accountRef": { "name": "expired" } }));
    env.wait("orders", "the reason of its account", |run| {
        let conditions = run.status.clone().unwrap_or_default().conditions;
        conditions.iter().any(|condition| condition.message.contains("its certificate has expired"))
    });
    assert_eq!(env.sim.journal().len(), 0);
}

/// The authority in `SSL_CERT_FILE` plays the public ones.
#[test]
fn additional_authorities_count_besides_the_public_ones_and_without_a_restart() {
    let env = environment("authorities");
    let [public, old, new] = ["public", "old", "new"].map(|name| Authority::new(name).unwrap());
    let public_file = env.server.folder().join(format!("{}-public.crt", env.namespace));
    std::fs::write(&public_file, public.pem()).unwrap();
    let file = write_authorities(&env, &[&old]).display().to_string();
    let public_front = front(&env, &public, "127.0.0.1", Validity::Now);
    let private_front = front(&env, &old, "127.0.0.1", Validity::Now);
    let (public_origin, private_origin) = (public_front.origin(), private_front.origin());
    account(&env, "public", &public_origin);
    account(&env, "private", &private_origin);
    let flags = ["--additional-ca-file", &file, "--allowed-base-url", &public_origin, "--allowed-base-url", &private_origin];
    let _operator = env.operator_in(&[("SSL_CERT_FILE", public_file.to_str().unwrap())], &env.kubeconfig, &flags);
    let run = |name: &str, account: &str| {
        env.start(name, "orders", json!({ "accountRef": { "name": account } }));
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    };
    run("by-public", "public");
    run("by-private", "private");
    // The trigger makes a connection of its own, which the new certificate is for.
    write_authorities(&env, &[&old, &new]);
    private_front.set_identity(&new.issue("127.0.0.1", Validity::Now).unwrap()).unwrap();
    run("by-new", "private");
    assert_eq!(env.sim.post_count(), 3);
    // What was removed counts no longer.
    write_authorities(&env, &[&old]);
    env.start("by-removed", "orders", json!({ "accountRef": { "name": "private" } }));
    env.wait("by-removed", "not started", |run| {
        let conditions = run.status.clone().unwrap_or_default().conditions;
        conditions.iter().any(|condition| condition.message.contains("its certificate is from an unknown authority"))
    });
    assert_eq!(env.sim.post_count(), 3);
}

/// An object of the test's namespace about TLS.
fn apply(env: &Environment, kind: &str, name: &str, label: bool, data: Value) {
    let labels = if label { json!({ "nuvo.dev/credential": "true" }) } else { json!({}) };
    let (field, type_) = if kind == "Secret" { ("stringData", json!("kubernetes.io/tls")) } else { ("data", Value::Null) };
    let metadata = json!({ "name": name, "namespace": env.namespace, "labels": labels });
    let mut object = json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, field: data });
    if kind == "Secret" {
        object["type"] = type_;
    }
    env.server.apply(&object.to_string()).unwrap();
}

fn certificate(authority: &Authority, validity: Validity) -> Value {
    let identity = authority.issue("client", validity).unwrap();
    json!({ "tls.crt": identity.certificate, "tls.key": identity.key })
}

/// The gateway wants a client certificate, and is known only to the account's own authority.
#[test]
fn account_with_its_own_authority_and_client_certificate_works_and_rotates_without_a_restart() {
    let env = environment("account-tls");
    let [servers, clients, later] = ["servers", "clients", "later"].map(|name| Authority::new(name).unwrap());
    let identity = servers.issue("127.0.0.1", Validity::Now).unwrap();
    let gateway = TlsFront::with_clients_of(env.sim.address().port(), &identity, &clients, Version::Tls13).unwrap();
    let origin = gateway.origin();
    let _operator = env.operator_with(&["--allowed-base-url", &origin]);
    let tls = json!({
        "caBundle": { "configMapRef": { "name": "authorities" } },
        "clientCertificateSecretRef": { "name": "client" },
    });
    // A change of the account has the operator look at once.
    let change = |poll_period: i32| {
        let fields = json!({ "baseUrl": format!("{origin}/dp/api/v1"), "tls": tls, "pollPeriodSeconds": poll_period });
        env.account_with("default", fields);
    };
    change(1);
    wait_message(&env, "default", "There is no ConfigMap authorities in this namespace");
    apply(&env, "ConfigMap", "authorities", false, json!({ "ca.crt": servers.pem() }));
    change(2);
    wait_message(&env, "default", "There is no Secret client in this namespace");
    apply(&env, "Secret", "client", false, certificate(&later, Validity::Now));
    change(3);
    wait_message(&env, "default", "lacks the label");
    apply(&env, "Secret", "client", true, certificate(&later, Validity::Now));
    change(4);
    wait_message(&env, "default", "it does not accept the client certificate");
    assert_eq!(env.sim.journal().len(), 0);
    apply(&env, "Secret", "client", true, certificate(&clients, Validity::Now));
    change(1);
    env.wait_ready("default");
    env.start("orders", "orders", json!({}));
    assert_consistent(&env.wait_phase("orders", Phase::Succeeded));

    // The gateway has changed its mind before the trigger, which is refused and so has started nothing.
    gateway.set_clients(&identity, &later, Version::Tls13).unwrap();
    env.start("later", "orders", json!({}));
    env.wait("later", "refused", |run| {
        let conditions = run.status.clone().unwrap_or_default().conditions;
        conditions.iter().any(|condition| condition.message.contains("it does not accept the client certificate"))
    });
    assert_eq!(env.sim.post_count(), 1);
    apply(&env, "Secret", "client", true, certificate(&later, Validity::Now));
    change(2);
    assert_consistent(&env.wait_phase("later", Phase::Succeeded));
    assert_eq!(env.sim.post_count(), 2);
}
