package emulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// maxFaultSpec bounds the text of a fault, in bytes.
const maxFaultSpec = 4096

// ParseFault reads the text form of a fault:
//
//	kind[:key=value,...]
//
// Keys are after, every, p (a probability), count, table, stream, delay (as in 1.5s), all, lag, checks, code (as in
// UNAVAILABLE), storage (a StorageError code, as in STREAM_NOT_FOUND) and message, which comes last because it takes
// the rest of the text, commas included. Kinds are listed by KindList.
func ParseFault(spec string) (Fault, error) {
	if len(spec) > maxFaultSpec {
		return Fault{}, fmt.Errorf("fault: longer than %d bytes", maxFaultSpec)
	}
	kind, rest, more := strings.Cut(spec, ":")
	f := Fault{Kind: Kind(kind)}
	var answer answerSpec
	seen := map[string]bool{}
	for more {
		var pair string
		if strings.HasPrefix(rest, "message=") {
			pair, more = rest, false
		} else {
			pair, rest, more = strings.Cut(rest, ",")
		}
		key, text, ok := strings.Cut(pair, "=")
		if !ok || seen[key] {
			return Fault{}, fmt.Errorf("fault %q: %q is not one key=value", spec, pair)
		}
		seen[key] = true
		if err := f.set(key, text, &answer); err != nil {
			return Fault{}, fmt.Errorf("fault %q: %w", spec, err)
		}
	}
	if err := answer.into(&f); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", spec, err)
	}
	if err := f.Validate(); err != nil {
		return Fault{}, err
	}
	return f, nil
}

// answerSpec is the keys that make Fault.Error.
type answerSpec struct {
	code    codes.Code
	message string
	storage storageCode
}

func (f *Fault) set(key, text string, answer *answerSpec) (err error) {
	switch key {
	case "after":
		f.After, err = strconv.ParseInt(text, 10, 64)
	case "every":
		f.Every, err = strconv.ParseInt(text, 10, 64)
	case "count":
		f.Count, err = strconv.ParseInt(text, 10, 64)
	case "lag":
		f.Lag, err = strconv.ParseInt(text, 10, 64)
	case "checks":
		f.Checks, err = strconv.ParseInt(text, 10, 64)
	case "p":
		f.Probability, err = strconv.ParseFloat(text, 64)
	case "delay":
		f.Delay, err = time.ParseDuration(text)
	case "all":
		f.All, err = strconv.ParseBool(text)
	case "table":
		f.Table = text
	case "stream":
		f.Stream = text
	case "message":
		answer.message = text
	case "code":
		n := code.Code_value[text]
		if n == 0 {
			return fmt.Errorf("%q is not the name of an error code, such as UNAVAILABLE", text)
		}
		answer.code = codes.Code(n)
	case "storage":
		n, ok := storagepb.StorageError_StorageErrorCode_value[text]
		if !ok || n == 0 {
			return fmt.Errorf("%q is not the name of a storage error, such as STREAM_NOT_FOUND", text)
		}
		answer.storage = storageCode(n)
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func (a answerSpec) into(f *Fault) error {
	switch {
	case a.code == codes.OK && a.message == "" && a.storage == 0:
		return nil
	case a.code == codes.OK:
		return fmt.Errorf("message and storage need a code")
	}
	message := a.message
	if message == "" {
		message = "Injected " + codeName(a.code) + "."
	}
	st := status.New(a.code, message)
	if a.storage != 0 {
		with, err := st.WithDetails(protoadapt.MessageV1Of(&storagepb.StorageError{Code: a.storage}))
		if err != nil {
			return err
		}
		st = with
	}
	f.Error = st
	return nil
}

func codeName(c codes.Code) string { return code.Code(c).String() }

// String is the text form that ParseFault reads.
func (f Fault) String() string {
	var pairs []string
	add := func(key, text string) { pairs = append(pairs, key+"="+text) }
	number := func(key string, n int64) {
		if n != 0 {
			add(key, strconv.FormatInt(n, 10))
		}
	}
	number("after", f.After)
	number("every", f.Every)
	if f.Probability != 0 {
		add("p", strconv.FormatFloat(f.Probability, 'g', -1, 64))
	}
	number("count", f.Count)
	if f.Table != "" {
		add("table", f.Table)
	}
	if f.Stream != "" {
		add("stream", f.Stream)
	}
	if f.Delay != 0 {
		add("delay", f.Delay.String())
	}
	if f.All {
		add("all", "true")
	}
	number("lag", f.Lag)
	number("checks", f.Checks)
	if f.Error != nil {
		add("code", codeName(f.Error.Code()))
		if e := f.answer("", nil); e.storage != 0 {
			add("storage", e.storage.String())
		}
		add("message", f.Error.Message())
	}
	if len(pairs) == 0 {
		return string(f.Kind)
	}
	return string(f.Kind) + ":" + strings.Join(pairs, ",")
}
