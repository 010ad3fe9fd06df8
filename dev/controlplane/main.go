// Command controlplane is etcd, kube-apiserver, kube-controller-manager and
// kubectl in one binary, for tests and demonstrations without a cluster.
//
// It is built from the Go modules of Kubernetes, so what answers is the real
// API server: validation, RBAC, watches, conflicts, garbage collection.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const usage = `usage: controlplane COMMAND [flags]

  etcd                      one member, for one API server
  kube-apiserver            as in Kubernetes
  kube-controller-manager   as in Kubernetes
  kubectl                   as in Kubernetes
  guard -- COMMAND [ARG]…   run a command that ends when this process ends

A link to this program that has the name of a command is that command.
With CONTROLPLANE_EXIT_WITH_STDIN=1 a server exits when its standard input ends.
`

// exitWithStdin names the variable that ties a server to its parent: the
// parent holds the other end of the pipe, and the kernel closes it however the
// parent ends, by SIGKILL too.
const exitWithStdin = "CONTROLPLANE_EXIT_WITH_STDIN"

func main() {
	// Like busybox: a link named kubectl is kubectl.
	os.Args[0] = filepath.Base(os.Args[0])
	if !run() {
		// Each command reads os.Args as if it were a program of its own.
		os.Args = os.Args[1:]
		if len(os.Args) == 0 || !run() {
			fmt.Fprint(os.Stderr, usage)
			os.Exit(2)
		}
	}
}

// run runs the command that os.Args[0] names, and is false if there is none.
func run() bool {
	switch os.Args[0] {
	case "etcd":
		watchStdin()
		os.Exit(runEtcd(os.Args[1:]))
	case "kube-apiserver":
		watchStdin()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		watchStdin()
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "kubectl":
		runKubectl()
	case "guard":
		os.Exit(runGuard(os.Args[1:]))
	default:
		return false
	}
	return true
}

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

// watchStdin ends this process when standard input ends, if asked to.
func watchStdin() {
	if os.Getenv(exitWithStdin) != "1" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
