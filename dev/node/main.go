// Command node is what Kubernetes runs on a node beside a container runtime,
// and the scheduler that gives it pods: for the tests of the chart on a real
// node.
//
// etcd, the API server and kubectl are the program in ../controlplane, which
// other tests use, too.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = `usage: node COMMAND [flags]

  kubelet         as in Kubernetes
  kube-proxy      as in Kubernetes
  kube-scheduler  as in Kubernetes
`

func main() {
	if len(os.Args) < 2 {
		fail()
	}
	// Each command reads os.Args as if it were a program of its own.
	os.Args = os.Args[1:]
	switch filepath.Base(os.Args[0]) {
	case "kubelet":
		os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background())))
	case "kube-proxy":
		os.Exit(cli.Run(proxy.NewProxyCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	default:
		fail()
	}
}

func fail() {
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
}
