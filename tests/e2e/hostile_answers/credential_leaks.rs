//! Credentials appear in nothing that a person can read, and go to no origin that was not allowed.

use std::sync::Arc;

use kube::{Api, api::PostParams};
use nuvo_client::{Client, Credential, IdentityType, Origins, Settings};
use nuvo_crds::{NuvoAccount, Phase};
use nuvo_sim::SimConfig;
use serde_json::json;

use super::hostile_server::{Answer, Call, HostileServer, RequestContext, RequestRecorder, Script, answer};
use crate::environment::{Environment, block_on, message, same};

/// Characters that look different when they are encoded.
const KEY: &str = "canary?Key+of/license=42&x~";
const TOKEN: &str = "canary?Token+of/access=42&y~";

/// A secret as it is, in base64 of both kinds, and as part of a URL.
fn forms(secret: &str) -> [String; 4] {
    let base64 = serde_json::to_value(k8s_openapi::ByteString(secret.as_bytes().to_vec())).unwrap();
    let base64 = base64.as_str().unwrap().trim_end_matches('=').to_owned();
    let encoded = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    [secret.to_owned(), base64.replace('+', "-").replace('/', "_"), base64, encoded]
}

/// Repeats the credentials in every field of an answer that has room for them.
fn echo(asked: &RequestContext<'_>) -> String {
    let said: Vec<String> = [asked.key, asked.token].into_iter().flat_map(forms).collect();
    said.join(" ")
}

fn headers(asked: &RequestContext<'_>) -> String {
    format!(
        "X-Echo: {0}\r\nX-Request-Id: {0}\r\nSet-Cookie: a={0}\r\nWWW-Authenticate: Bearer realm=\"{0}\"\r\nRetry-After: {0}\r\n",
        echo(asked)
    )
}

fn refusal(status: u16, asked: &RequestContext<'_>) -> Answer {
    let said = echo(asked);
    let body = json!({ "error": { "message": said, "code": said, "type": said }, "message": said, "data": said, said.clone(): said });
    answer(status, &headers(asked), body.to_string().as_bytes())
}

/// The healthy answer with each execution full of secrets.
fn execution(asked: &RequestContext<'_>, status: &str) -> Answer {
    let said = echo(asked);
    let full = asked.changed(|entry| {
        if !entry.is_object() {
            return;
        }
        entry["status"] = status.replace("ECHO", &said).into();
        for field in ["trigger_type", "configuration", "created_at", "updated_at", &said] {
            entry[field] = said.clone().into();
        }
        entry["created_by"] = json!({ "id": said, "name": said, "identifier": said, "type": said });
        entry["error"] = json!({ "type": said, "message": format!("because of {said}") });
        entry["logs"] =
            json!([{ "type": said, "status": said, "started_at": said, "message": said, "data": { "total_rows": 1, said.clone(): said } }]);
    });
    answer(200, &headers(asked), full.to_string().as_bytes())
}

/// An account and a run whose server answers one call like this.
fn cell(name: &str, call: Call, hostile: impl Fn(&RequestContext<'_>) -> Answer + Send + Sync + 'static) -> (String, HostileServer) {
    let site = HostileServer::start(Script {
        pipeline: name.to_owned(),
        token: TOKEN.to_owned(),
        key: KEY.to_owned(),
        elsewhere: String::new(),
        call,
        hostile: Arc::new(hostile),
        executes: true,
        triggers: 1,
        loses_answers: call == Call::Recovery,
    });
    (name.to_owned(), site)
}

#[test]
fn credential_repeated_by_nuvo_is_shown_nowhere() {
    let env = Environment::without_account("echo", SimConfig::default());
    env.credential("nuvo-credentials", KEY);
    let cells = [
        cell("token-401", Call::Token, |asked| refusal(401, asked)),
        cell("token-500", Call::Token, |asked| refusal(500, asked)),
        cell("token-200", Call::Token, |asked| refusal(200, asked)),
        cell("proof", Call::Proof, |asked| refusal(404, asked)),
        cell("look", Call::Look, |asked| refusal(500, asked)),
        cell("look-200", Call::Look, |asked| execution(asked, "SUCCESSFUL")),
        cell("create-422", Call::Create, |asked| refusal(422, asked)),
        cell("create-503", Call::Create, |asked| refusal(503, asked)),
        cell("create-200", Call::Create, |asked| refusal(200, asked)),
        cell("poll", Call::Poll, |asked| execution(asked, "PROCESSING")),
        cell("read-500", Call::Read, |asked| refusal(500, asked)),
        cell("read-word", Call::Read, |asked| execution(asked, "ECHO")),
        cell("read-failed", Call::Read, |asked| execution(asked, "FAILED")),
        cell("recovery", Call::Recovery, |asked| execution(asked, "PROCESSING")),
    ];
    let mut flags = vec!["--log-level", "trace"];
    flags.extend(cells.iter().flat_map(|(_, site)| ["--allowed-base-url", site.origin.as_str()]));
    // The log level cannot make the libraries log requests either.
    let operator = env.operator_in(&[("RUST_LOG", "trace")], &env.kubeconfig, &flags);
    for (name, site) in &cells {
        env.account_with(name, json!({ "baseUrl": site.origin }));
        env.start(name, name, json!({ "accountRef": { "name": name } }));
    }
    for (name, site) in &cells {
        env.eventually(&format!("an answer to {name}"), || site.given() >= 1);
    }
    let shown = |name: &str, phase| message(&env.wait_phase(name, phase)).to_owned();
    for text in [shown("create-422", Phase::Failed), shown("read-failed", Phase::Failed)] {
        assert!(text.contains("[redacted]"), "{text}");
    }
    let words = |name: &str| {
        env.get(name).status.unwrap_or_default().current.executions.iter().filter_map(|e| e.status.clone()).collect::<String>()
    };
    env.eventually("nuvo's own word is shown", || words("read-word").contains("[redacted]"));
    for (_, site) in &cells {
        site.heal();
    }
    for name in ["look", "look-200", "create-503", "poll", "read-500", "read-word"] {
        env.wait_phase(name, Phase::Succeeded);
    }
    let readable = [env.readable_text(), operator.ask("metrics", "/metrics").1].concat();
    let wanted = [KEY, TOKEN].into_iter().flat_map(forms).chain(["canary".to_owned()]);
    for form in wanted {
        let at = readable.lines().find(|line| line.contains(&form)).map(|line| line.chars().take(4_000).collect::<String>());
        assert_eq!(at, None, "{form}");
    }
    let log = operator.0.log();
    let loud = || log.lines().filter(|line| line.contains(" DEBUG ") || line.contains(" TRACE "));
    let foreign: Vec<&str> = loud().filter(|line| !line.contains(" nuvo_operator::")).collect();
    assert!(loud().count() > 0 && foreign.is_empty(), "{foreign:?}");
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn panic_with_a_client_shows_no_credential() {
    let base = || Origins::parse(["http://127.0.0.1"]).unwrap().check("http://127.0.0.1").unwrap();
    let key = Credential::LicenseKey {
        key: KEY.into(),
        identifier: "demo@example.com".into(),
        identity_type: IdentityType::User,
        token_path: "auth/access-token".into(),
    };
    for credential in [key, Credential::AccessToken(KEY.into())] {
        let shown =
            block_on(async { format!("{credential:?} {:?}", Client::new(base(), credential.clone(), Settings::default()).unwrap()) });
        assert!(shown.contains("(..)") && !shown.contains("canary"), "{shown}");
    }
}

/// What the API server says to an account with this base URL, or the operator.
fn judged(env: &Environment, name: &str, url: &str) -> String {
    let account: NuvoAccount = serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "NuvoAccount",
        "metadata": { "name": name },
        "spec": { "baseUrl": url, "licenseKey": {
            "secretRef": { "name": "nuvo-credentials", "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER",
        } },
    }))
    .unwrap();
    let api: Api<NuvoAccount> = env.accounts();
    if let Err(error) = block_on(api.create(&PostParams::default(), &account)) {
        assert!(error.to_string().contains("baseUrl"), "{url}: {error}");
        return "refused".to_owned();
    }
    let reason = || {
        let status = block_on(api.get(name)).unwrap().status.unwrap_or_default();
        status.conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.reason)
    };
    env.eventually(&format!("{url} judged"), || reason().is_some());
    reason().unwrap()
}

#[test]
fn credential_is_sent_to_allowed_origins_only() {
    let env = Environment::without_account("origins", SimConfig::default());
    env.credential("nuvo-credentials", KEY);
    let trap = RequestRecorder::start();
    let elsewhere = trap.origin.clone();
    let (_, allowed) = cell("allowed", Call::Look, |_| answer(500, "", b""));
    let redirects = [301, 302, 303, 307, 308].map(|code| {
        let elsewhere = elsewhere.clone();
        let to = move |_: &RequestContext<'_>| answer(code, &format!("Location: {elsewhere}/execution/\r\n"), b"");
        let (_, site) = cell("redirect", Call::Proof, to);
        (code, site)
    });
    let mut flags = vec!["--allowed-base-url", allowed.origin.as_str(), "--log-level", "trace"];
    flags.extend(redirects.iter().flat_map(|(_, site)| ["--allowed-base-url", site.origin.as_str()]));
    let _operator = env.operator_with(&flags);
    let (ours, evil) = (allowed.origin.rsplit(':').next().unwrap(), elsewhere.rsplit(':').next().unwrap());
    // In each URL A is the port that is allowed, and E the one of the trap.
    let table = [
        ("http://127.0.0.1:A", "Ready"),
        // Other ways to write the allowed origin lead there and nowhere else.
        ("http://127.0.0.1.:A", "refused"),
        ("http://2130706433:A", "Ready"),
        ("http://0x7f000001:A", "Ready"),
        ("http://0177.0.0.1:A", "Ready"),
        ("http://127.1:A", "Ready"),
        ("http://127.0.0.1:E", "OriginNotAllowed"),
        ("http://127.0.0.1.:E", "refused"),
        ("http://2130706433:E", "OriginNotAllowed"),
        ("http://0x7f000001:E", "OriginNotAllowed"),
        ("http://0177.0.0.1:E", "OriginNotAllowed"),
        ("http://127.1:E", "OriginNotAllowed"),
        ("http://127.0.0.2:A", "OriginNotAllowed"),
        ("http://0.0.0.0:E", "OriginNotAllowed"),
        ("http://[::1]:E", "OriginNotAllowed"),
        ("http://[::ffff:127.0.0.1]:A", "OriginNotAllowed"),
        ("http://[::ffff:127.0.0.1]:E", "OriginNotAllowed"),
        ("http://localhost:A", "OriginNotAllowed"),
        ("http://LOCALHOST:E", "OriginNotAllowed"),
        ("http://127.0.0.1.nip.example:E", "OriginNotAllowed"),
        ("https://127.0.0.1:A", "OriginNotAllowed"),
        ("http://127.0.0.1", "OriginNotAllowed"),
        ("http://127.0.0.1:99999", "OriginNotAllowed"),
        ("http://127.0.0.1:E/127.0.0.1:A", "refused"),
        ("http://127.0.0.1:E//127.0.0.1/", "OriginNotAllowed"),
        ("http://127.0.0.1:A@127.0.0.1:E", "refused"),
        ("http://127.0.0.1@127.0.0.1:E", "refused"),
        ("http://user:pw@127.0.0.1:A", "refused"),
        ("http://@127.0.0.1:A", "refused"),
        ("http://%31%32%37.0.0.1:E", "refused"),
        ("http://127%2e0.0.1:E", "refused"),
        ("http://127.0.0.1:E#@127.0.0.1:A", "refused"),
        ("http://127.0.0.1:E?http://127.0.0.1:A", "refused"),
        ("http://127.0.0.1:A\\@127.0.0.1:E", "refused"),
        ("http://127.0.0.1:E\\127.0.0.1:A", "refused"),
        ("http:\\\\127.0.0.1:E", "refused"),
        ("http:127.0.0.1:E", "refused"),
        ("http:///127.0.0.1:E", "refused"),
        ("//127.0.0.1:E", "refused"),
        ("HTTP://127.0.0.1:E", "refused"),
        (" http://127.0.0.1:E", "refused"),
        ("http://127.0.0.1:E ", "refused"),
        ("http://127.0.0.1\t:E", "refused"),
        ("http://127.0.0.1:A\n.evil", "refused"),
        ("http://127.0.0.1:A.evil", "refused"),
        ("http://\u{ff11}27.0.0.1:E", "refused"),
        ("http://127\u{3002}0.0.1:E", "refused"),
        ("http://\u{24c1}ocalhost:E", "refused"),
        ("ftp://127.0.0.1:E", "refused"),
        ("", "refused"),
    ];
    let mut differing = Vec::new();
    for (number, (url, wanted)) in table.iter().enumerate() {
        let url = url.replace(":A", &format!(":{ours}")).replace(":E", &format!(":{evil}"));
        let found = judged(&env, &format!("url-{number}"), &url);
        println!("{url:<50} {wanted:<20} {found}");
        if found != *wanted {
            differing.push(format!("{url:?}: {found}, not {wanted}"));
        }
    }
    for (code, site) in &redirects {
        same(
            &format!("an account that is redirected by {code}"),
            judged(&env, &format!("redirect-{code}"), &site.origin),
            "NuvoUnavailable".into(),
        );
        assert!(site.given() >= 1);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    same("what was sent elsewhere", trap.caught(), Vec::new());
}
