use super::*;

/// Whether the proxy is used for this server.
fn is_proxied(no_proxy: &str, server: &str) -> bool {
    let proxy = of_environment(&server.parse().unwrap(), |name| match name {
        "HTTPS_PROXY" => Some("http://proxy:3128".to_owned()),
        "NO_PROXY" => Some(no_proxy.to_owned()),
        _ => None,
    });
    proxy.unwrap().is_some()
}

/// The servers and the answers are those of the test of Go's `golang.org/x/net/http/httpproxy`.
#[test]
fn no_proxy_means_what_it_means_to_go() {
    let list = "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, 2001:db8::52:0:1, \
        [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64";
    for (host, proxied) in [
        ("localhost", false),
        ("127.0.0.1", false),
        ("127.0.0.2", false),
        ("[::1]", false),
        ("[::ffff:127.0.0.1]", false),
        ("[::2]", true),
        ("192.168.1.1", false),
        ("192.168.1.2", true),
        ("192.168.1.3", false),
        ("192.168.1.4", true),
        ("10.0.0.2", false),
        ("[::ffff:10.0.0.2]", false),
        ("[2001:db8::52:0:1]", false),
        ("[2001:db8::52:0:2]", true),
        ("[2001:db8::52:0:3]", false),
        ("[2002:db8:a::123]", false),
        ("[fe80::424b:c8be:1643:a1b6]", true),
        ("barbaz.net", true),
        ("www.barbaz.net", false),
        ("foobar.com", false),
        ("www.foobar.com", false),
        ("foofoobar.com", true),
        ("baz.com", true),
        ("localhost.net", true),
        ("local.localhost", true),
        ("barbarbaz.net", true),
        ("wildcard.io", true),
        ("nested.wildcard.io", false),
        ("awildcard.io", true),
    ] {
        assert_eq!(is_proxied(list, &format!("https://{host}:80")), proxied, "{host}");
        assert_eq!(is_proxied(list, &format!("https://{}:80", host.to_uppercase())), proxied || host == "localhost", "{host} in capitals");
        assert!(!is_proxied(&format!("{list},*"), &format!("https://{host}:80")), "{host}");
    }
}

#[test]
fn port_in_no_proxy_is_compared() {
    for (list, server, proxied) in [
        ("api.example:6443", "https://api.example:6443", false),
        ("api.example:6443", "https://api.example", true),
        ("api.example:443", "https://api.example", false),
        ("api.example:", "https://api.example:6443", false),
        ("example:6443", "https://api.example:6443", false),
        (".example:6443", "https://api.example:6443", false),
        (".example:6443", "https://api.example:6444", true),
        ("10.1.2.3:6443", "https://10.1.2.3:6443", false),
        ("10.1.2.3:6443", "https://10.1.2.3", true),
        ("10.1.2.0/24", "https://10.1.2.3:6443", false),
        (":6443", "https://api.example:6443", true),
        ("[::2]", "https://[::2]:6443", true),
        ("[::2]:6443", "https://[::2]:6443", false),
        ("::2", "https://[::2]:6443", false),
    ] {
        assert_eq!(is_proxied(list, server), proxied, "{list} {server}");
    }
}

/// kube takes each of these for an error.
#[test]
fn entry_that_means_nothing_is_skipped() {
    for list in ["", ",", " , ", "other.test,,", "a b", "http://", "10.0.0.0/33", "%", ".", "*.", "[", "]:"] {
        assert!(is_proxied(list, "https://api.example:6443"), "{list:?}");
        assert!(!is_proxied(&format!("{list},example"), "https://api.example:6443"), "{list:?}");
    }
}

#[test]
fn proxy_of_an_environment_is_named_by_the_scheme_of_the_server() {
    let environment = |name: &str| {
        let value = match name {
            "HTTPS_PROXY" => "secure:1",
            "https_proxy" => "http://ignored:2",
            "HTTP_PROXY" => "",
            "http_proxy" => "socks5h://plain",
            "ALL_PROXY" | "all_proxy" => "http://all:3",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let of = |server: &str| of_environment(&server.parse().unwrap(), environment).unwrap().map(|proxy| proxy.to_string());
    assert_eq!(of("https://api.example").as_deref(), Some("http://secure:1/"));
    assert_eq!(of("http://api.example").as_deref(), Some("socks5://plain:1080/"));
    assert_eq!(of_environment(&"https://api.example".parse().unwrap(), |_| None).unwrap(), None);
    assert_eq!(of_environment(&"https://api.example".parse().unwrap(), |_| Some("[::bad".to_owned())).unwrap(), None);
}

#[test]
fn proxy_that_cannot_be_used_is_refused_without_its_credentials() {
    for proxy in ["ftp://me:p4ss@proxy:1", "proxy:1", "socks5://me:p4ss@proxy:1", "socks5h://proxy:1", "/proxy", "http://", "http://a b"] {
        let error = of_kubeconfig(proxy).unwrap_err().to_string();
        assert!(error.contains("proxy-url") && !error.contains("p4ss"), "{proxy}: {error}");
    }
    let of = |proxy: &str| of_environment(&"https://api.example".parse().unwrap(), |_| Some(proxy.to_owned()));
    for proxy in ["ftp://me:p4ss@proxy:1", "socks5h://me:p4ss@proxy:1"] {
        let error = of(proxy).unwrap_err().to_string();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("p4ss"), "{proxy}: {error}");
    }
    for proxy in ["http://me:p4ss@proxy", "https://proxy:1", "socks5://[::1]"] {
        of_kubeconfig(proxy).unwrap();
    }
}
