package main

import (
	"net"

	"github.com/spf13/pflag"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// serviceFlags say where the Storage Write API is.
type serviceFlags struct {
	endpoint string
	insecure bool
	remote   bool
}

func (s *serviceFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.endpoint, "endpoint", "", "HOST:PORT of the Storage Write API (default: BigQuery's, with application default credentials)")
	f.BoolVar(&s.insecure, "insecure", false, "no TLS and no credentials: for an emulator on this machine")
	f.BoolVar(&s.remote, "insecure-remote", false, "allow --insecure for an endpoint that is not on this machine")
}

// options are the client options that reach the service.
func (s *serviceFlags) options() ([]option.ClientOption, error) {
	switch {
	case s.endpoint == "" && s.insecure:
		return nil, usagef("--insecure needs --endpoint")
	case s.endpoint == "":
		return nil, nil
	}
	host, _, err := net.SplitHostPort(s.endpoint)
	if err != nil {
		return nil, usagef("--endpoint %q: want HOST:PORT", s.endpoint)
	}
	opts := []option.ClientOption{option.WithEndpoint(s.endpoint)}
	if !s.insecure {
		return opts, nil
	}
	if !s.remote && !loopback(host) {
		return nil, usagef("--insecure would send rows in plain text to %s, which is not this machine: if that is what you want, add --insecure-remote", host)
	}
	return append(opts, option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
