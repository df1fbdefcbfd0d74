package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
)

// Load is what many producers do at the same time, each with a partition of its own, in which it appends when the append
// before is answered.
type Load struct {
	Producers int           `json:"producers"`
	Shape     Shape         `json:"append"`
	Every     time.Duration `json:"-"` // a producer appends so often; 0: as soon as it is answered
	Duration  time.Duration `json:"-"`
}

// LoadResult is what came of it.
type LoadResult struct {
	Contender string  `json:"contender"`
	Appends   int64   `json:"appends"`
	Refused   int64   `json:"refused"` // 429 and 503, tried again
	RowsPerS  float64 `json:"rows_per_second"`
	Ratio     float64 `json:"ratio"` // of rows a second, to the bare client
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Memory    float64 `json:"memory_mb,omitempty"`     // the most that was resident, of the sidecar
	Processor float64 `json:"cpu_us_append,omitempty"` // µs of the sidecar's for an append, its start included
}

// one is what one producer does once. It says how often it was refused before.
type one func(ctx context.Context) (refused int64, err error)

// run has all producers work for so long, after a quarter of it to warm up, and at least until each has been answered then.
func (l Load) run(ctx context.Context, producers []one) (r LoadResult, err error) {
	latencies := make([][]time.Duration, len(producers))
	refused := make([]int64, len(producers))
	errs := make([]error, len(producers))
	start := time.Now()
	measured := start.Add(l.Duration / 4)
	end := measured.Add(l.Duration)
	var all sync.WaitGroup
	for n, p := range producers {
		all.Go(func() {
			next := start.Add(l.Every * time.Duration(n) / time.Duration(len(producers))) // not all at once
			for {
				time.Sleep(time.Until(next))
				began := time.Now()
				if began.After(end) && len(latencies[n]) > 0 {
					return
				}
				again, err := p(ctx)
				if err != nil {
					errs[n] = err
					return
				}
				if began.After(measured) {
					latencies[n] = append(latencies[n], time.Since(began))
					refused[n] += again
				}
				next = next.Add(l.Every)
			}
		})
	}
	all.Wait()
	seconds := time.Since(measured).Seconds()
	var sorted []time.Duration
	for n := range producers {
		sorted = append(sorted, latencies[n]...)
		r.Refused += refused[n]
	}
	slices.Sort(sorted)
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	r.Appends = int64(len(sorted))
	r.RowsPerS = float64(r.Appends*int64(l.Shape.Rows)) / seconds
	r.P50, r.P99 = milliseconds(sorted[len(sorted)/2]), milliseconds(sorted[len(sorted)*99/100])
	return r, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// RunBare is the bare client with as many streams, waiting for each answer.
func (l Load) RunBare(ctx context.Context, cfg Config) (LoadResult, error) {
	schema, err := committed.NewSchema(Table, TableSchema(), nil)
	if err != nil {
		return LoadResult{}, err
	}
	cfg.Partitions, cfg.Window = l.Producers, 1
	streams, closeAll, err := openBare(ctx, cfg, schema, Bare)
	if err != nil {
		return LoadResult{}, err
	}
	batch := encoded(l.Shape)
	producers := make([]one, len(streams))
	for n, s := range streams {
		producers[n] = func(ctx context.Context) (int64, error) {
			if err := s.append(ctx, batch); err != nil {
				return 0, err
			}
			return 0, s.drain(ctx)
		}
	}
	r, err := l.run(ctx, producers)
	r.Contender = Bare
	return r, errors.Join(err, closeAll(ctx))
}

// Prepare makes a ledger with the producers' partitions and their streams, which BigQuery makes at a rate of a few a second.
func (l Load) Prepare(ctx context.Context, cfg Config, path string) (err error) {
	schema, err := committed.NewSchema(Table, TableSchema(), nil)
	if err != nil {
		return err
	}
	led, err := ledger.Open(path, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, led.Close()) }()
	w, err := committed.Open(ctx, led, committed.Options{ClientOptions: cfg.Client, CreateRate: 1e6, CreateBurst: 1e6})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close(ctx)) }()
	for n := range l.Producers {
		p, err := w.Partition(ctx, committed.PartitionConfig{Table: Table, Name: nameOf(n), Schema: schema, Encoder: rows.Version})
		if err == nil {
			err = p.Close(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func nameOf(producer int) string { return "producer-" + strconv.Itoa(producer) }

// RunSidecar has the producers push to a sidecar's socket, with newline-delimited JSON over HTTP, and wait for ack.
func (l Load) RunSidecar(ctx context.Context, socket, ack string) (LoadResult, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: l.Producers, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := objects(l.Shape)
	producers := make([]one, l.Producers)
	for n := range producers {
		p := &producer{client: client, url: "http://sidecar/v1/tables/bench.bench.rows/partitions/" + nameOf(n) + "/rows?ack=" + ack, body: body}
		producers[n] = p.push
	}
	r, err := l.run(ctx, producers)
	r.Contender = "sidecar, " + ack
	return r, err
}

// producer pushes the same rows again and again.
type producer struct {
	client *http.Client
	url    string
	body   []byte
	at     int // appends before; the partition is new
}

func (p *producer) push(ctx context.Context) (refused int64, err error) {
	url := p.url + "&position=" + strconv.Itoa(p.at+1)
	if p.at > 0 {
		url += "&expect=" + strconv.Itoa(p.at)
	}
	for {
		status, retry, text, err := p.post(ctx, url)
		switch {
		case err != nil:
			return refused, err
		case status == http.StatusOK:
			p.at++
			return refused, nil
		case status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable || retry == "":
			return refused, fmt.Errorf("%d: %s", status, text)
		}
		refused++
		seconds, err := strconv.Atoi(retry)
		if err != nil {
			return refused, err
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}

func (p *producer) post(ctx context.Context, url string) (status int, retryAfter string, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(p.body))
	if err != nil {
		return 0, "", nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Retry-After"), text, err
}

// objects are rows of the wanted size as lines of JSON.
func objects(shape Shape) []byte {
	var b strings.Builder
	for range shape.Rows {
		line, _ := json.Marshal(map[string][]byte{"payload": make([]byte, shape.Bytes)}) // nothing in it can fail
		b.Write(line)
		b.WriteByte('\n')
	}
	return []byte(b.String())
}
