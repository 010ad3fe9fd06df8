package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// runEtcd serves one etcd member until a signal ends it. The flags are those
// of etcd, as far as one member on one machine needs them.
func runEtcd(args []string) int {
	config := embed.NewConfig()
	config.LogLevel = "warn"
	flags := flag.NewFlagSet("etcd", flag.ExitOnError)
	flags.StringVar(&config.Dir, "data-dir", "", "where the member keeps its data")
	flags.BoolVar(&config.UnsafeNoFsync, "unsafe-no-fsync", false, "data survives a kill, but not a power cut")
	flags.StringVar(&config.InitialCluster, "initial-cluster", "", "NAME=PEER-URL of the one member")
	urls := func(name, usage string, into *[]url.URL) {
		flags.Func(name, usage, func(text string) error {
			parsed, err := url.Parse(text)
			if err == nil {
				*into = []url.URL{*parsed}
			}
			return err
		})
	}
	urls("listen-client-urls", "where the API server connects", &config.ListenClientUrls)
	urls("advertise-client-urls", "the same, as clients see it", &config.AdvertiseClientUrls)
	urls("listen-peer-urls", "where other members would connect", &config.ListenPeerUrls)
	urls("initial-advertise-peer-urls", "the same, as members see it", &config.AdvertisePeerUrls)
	_ = flags.Parse(args)

	if err := serveEtcd(config); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
	return 0
}

func serveEtcd(config *embed.Config) error {
	if config.Dir == "" {
		return errors.New("--data-dir is required")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-signals:
		return nil
	case err := <-server.Err():
		return err
	}
}
