//! End to end: the operator as a process, against a real kube-apiserver and etcd, and a simulator of nuvo over real sockets.

mod accounts;
mod outcomes;
mod world;
