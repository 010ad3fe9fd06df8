//! The addresses of the node, and the files that its programs read.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

/// Its name.
pub const NODE: &str = "node1";
/// All addresses are those of examples, which are used on no network. That of the node:
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PODS: &str = "198.51.100.0/24";
pub const SERVICES: &str = "203.0.113.0/24";
pub const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub const DNS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The Service of the simulator.
pub const NUVO: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);

/// Where the files of the node are, inside.
pub const HOME: &str = "/run/node";
/// In that folder, for a person.
pub const ADMIN_KUBECONFIG: &str = "admin.kubeconfig";
pub const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// The image of dev/node/pause.
pub const PAUSE: &str = "localhost/pause:1";
/// The registry that the node pulls from.
pub const REGISTRY: &str = "registry.example";
/// Its port on the node.
pub const REGISTRY_PORT: u16 = 5000;
/// The folder that says how the registry is reached.
pub const REGISTRIES: &str = "registries";

/// What the kubelet wants of the kernel, below /proc/sys.
pub const KERNEL: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1\n"),
    ("vm/panic_on_oom", "0\n"),
    ("kernel/panic", "10\n"),
    ("kernel/panic_on_oops", "1\n"),
    ("kernel/keys/root_maxkeys", "1000000\n"),
    ("kernel/keys/root_maxbytes", "25000000\n"),
];

/// That of containerd 1, which Debian has.
pub fn containerd(packages: &Path) -> String {
    let (plugins, runc) = (packages.join("usr/lib/cni"), packages.join("usr/sbin/runc"));
    format!(
        r#"version = 2
root = "{HOME}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # In a sandbox, root may be without the right to lower its score, and runc would then fail.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{HOME}/{REGISTRIES}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "{HOME}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{}"
      SystemdCgroup = false
"#,
        plugins.display(),
        runc.display()
    )
}

/// How containerd reaches the registry: on the node itself, without TLS.
pub fn registry() -> String {
    let url = format!("http://{ADDRESS}:{REGISTRY_PORT}");
    format!("server = \"{url}\"\n[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n")
}

/// The network of pods. Everything is routed, so that it does not matter what the kernel does with bridges.
pub fn pod_network() -> Value {
    let ipam = json!({
        "type": "host-local", "dataDir": "/run/pod-addresses", "ranges": [[{ "subnet": PODS }]], "routes": [{ "dst": "0.0.0.0/0" }],
    });
    json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [{ "type": "ptp", "mtu": 1500, "ipam": ipam }] })
}

/// That of the kubelet, which serves with the certificate of the API server: both have the same address.
pub fn kubelet(group: &str, authority: &Path, (certificate, key): (&Path, &Path)) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": { "enabled": false }, "webhook": { "enabled": true }, "x509": { "clientCAFile": authority },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{group}"),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{HOME}/resolv.conf"),
        "volumePluginDir": format!("{HOME}/volume-plugins"),
        "failSwapOn": false,
        // An image that was once pulled by another name would otherwise be pulled by this one, too, to see who may.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        // Whose disk it is does not matter here.
        "evictionHard": {
            "memory.available": "50Mi", "nodefs.available": "100Mi", "imagefs.available": "100Mi", "nodefs.inodesFree": "1%", "imagefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    })
}

/// That of kube-proxy. What `conntrack` would set belongs to the whole machine.
pub fn kube_proxy(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": PODS,
        "clientConnection": { "kubeconfig": kubeconfig },
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}

/// That of CoreDNS.
pub fn dns(kubeconfig: &Path) -> String {
    format!(
        ".:53 {{\n  bind {ADDRESS}\n  errors\n  ready {ADDRESS}:8181\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {}\n    ttl 5\n  }}\n}}\n",
        kubeconfig.display()
    )
}

/// What is in the cluster from the start, besides what the API server makes.
pub fn objects() -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "kube-proxy" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier" },
            "subjects": [{ "kind": "User", "name": "system:kube-proxy" }],
        },
    ] })
}

/// A Service of something that runs on the node itself, in no pod: a protocol and a port, by which it is reached there.
pub fn service(namespace: &str, name: &str, address: Ipv4Addr, ports: &[(&str, u16, u16)]) -> Value {
    let port = |(protocol, port, _): &(&str, u16, u16)| json!({ "name": protocol.to_lowercase(), "port": port, "protocol": protocol });
    let target =
        |(protocol, _, target): &(&str, u16, u16)| json!({ "name": protocol.to_lowercase(), "port": target, "protocol": protocol });
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
            "spec": { "clusterIP": address, "ports": ports.iter().map(port).collect::<Vec<_>>() },
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": format!("{name}-1"), "namespace": namespace, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4", "endpoints": [{ "addresses": [ADDRESS] }], "ports": ports.iter().map(target).collect::<Vec<_>>(),
        },
    ] })
}
