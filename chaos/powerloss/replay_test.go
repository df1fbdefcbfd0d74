package powerloss

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// verdict is what judges found out about a recording.
type verdict struct {
	tally
	findings []finding
}

// file is where the recording is while it is judged.
func (r recording) file() string { return r.Folder + ".recording" }

// judged has a recording judged by a child, and by another one when it dies.
func (r recording) judged(t testing.TB, images, stop int) (v verdict) {
	j := judgeJob{Recording: r.file(), Progress: r.Folder + ".progress", Images: images, Stop: stop}
	f, err := os.Create(j.Recording)
	require.NoError(t, err)
	require.NoError(t, gob.NewEncoder(f).Encode(r))
	require.NoError(t, f.Close())
	for {
		done, errs, err := v.listen(t, j)
		if done {
			return v
		}
		progress, readErr := os.ReadFile(j.Progress)
		require.NoError(t, readErr)
		_, readErr = fmt.Sscan(string(progress), &j.Skip)
		require.NoError(t, readErr)
		if stop != 0 && len(v.findings) >= stop {
			return v
		}
		require.Less(t, len(v.findings), 100, "judges die again and again: %v", v.findings)
		v.findings = append(v.findings, finding{Image: j.Skip, Text: fmt.Sprintf("the process died: %v: %s", err, errs)})
	}
}

// listen runs a judge and takes its reports.
func (v *verdict) listen(t testing.TB, j judgeJob) (done bool, stderr string, err error) {
	cmd, err := child(job{Judge: &j})
	require.NoError(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for in := json.NewDecoder(out); ; {
		var r report
		if err := in.Decode(&r); err != nil {
			break // its end, or the middle of its death
		}
		if r.Finding != nil {
			v.findings = append(v.findings, *r.Finding)
		}
		if r.Done != nil {
			v.tally, done = *r.Done, true
		}
	}
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	return done, errs.String(), err
}

// describe counts the events of a recording.
func (r recording) describe() string {
	n := map[Kind]int{}
	for _, e := range r.Events {
		n[e.Kind]++
	}
	return fmt.Sprint(n)
}

// requireSound looks at so many images. When one is wrong, the recording is kept: another
// run with the same seed is not the same to the last system call.
func (r recording) requireSound(t *testing.T, images int) verdict {
	v := r.judged(t, images, 5)
	if len(v.findings) > 0 {
		content, err := os.ReadFile(r.file())
		require.NoError(t, err)
		kept := filepath.Join(os.TempDir(), fmt.Sprintf("eowriter-powerloss-%d", r.Seed))
		require.NoError(t, os.WriteFile(kept, content, 0o600))
		t.Errorf("%v\nTo look at these images again: go test ./chaos/powerloss -run TestRecording -powerloss.recording %s -powerloss.images %d",
			v.findings, kept, images)
	}
	return v
}

// TestRecording looks at images of a recording that another test has kept.
func TestRecording(t *testing.T) {
	if *recordingFlag == "" {
		t.Skip("no -powerloss.recording is given")
	}
	f, err := os.Open(*recordingFlag)
	require.NoError(t, err)
	defer f.Close()
	var r recording
	require.NoError(t, gob.NewDecoder(f).Decode(&r))
	r.Folder, r.Kept = filepath.Join(ramFolder(t), "disk"), nil
	require.NoError(t, os.Mkdir(r.Folder, 0o700))
	for _, found := range r.judged(t, *imagesFlag, 0).findings {
		if !found.Suspects { // as it must here: it is not where it was
			t.Errorf("image %d: %s", found.Image, found.Text)
		}
	}
}

func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d", s)
	return s
}

// brief says that a few images do.
func brief() bool { return testing.Short() || underRace }

// perRecording is about how many images are worth looking at of one recording.
const perRecording = 10_000

// TestReplay loses power at every moment of runs of a ledger. If it fails, a power loss
// can take away what callers were told is durable, or leave half of something, or a
// ledger that doesn't open.
func TestReplay(t *testing.T) {
	first := seed(t)
	workers, lives, all := runtime.GOMAXPROCS(0), 12, *imagesFlag
	if brief() {
		lives, all = 4, all/10
	}
	rounds := max(workers, (all+perRecording-1)/perRecording)
	images := all/rounds*11/10 + 1 // some moments have fewer than their share
	seeds := make(chan uint64)
	var mu sync.Mutex // guards total
	var total verdict
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for s := range seeds {
				t.Run(fmt.Sprint("seed ", s), func(t *testing.T) {
					r := record(t, s, drawLives(s, lives, true))
					t.Log(r.describe())
					v := r.requireSound(t, images)
					mu.Lock()
					defer mu.Unlock()
					total.Images += v.Images
					total.Windows += v.Windows
					total.Events += v.Events
					total.Promised += v.Promised
				})
			}
		})
	}
	for i := range rounds {
		seeds <- first + uint64(i)
	}
	close(seeds)
	wg.Wait()
	if !t.Failed() && total.Windows > 0 {
		require.GreaterOrEqual(t, total.Images, all)
	}
	t.Logf("%d images at %d moments of %d runs, in which %d steps were promised", total.Images, total.Windows, rounds, total.Promised)
}

// TestReplayKilled kills a process at each step of creating, opening and compacting a ledger and of
// making segments; the next one goes on with what it finds, and then the power is lost. If it fails, a ledger
// relies on what a dead process had not made durable yet.
func TestReplayKilled(t *testing.T) {
	s := seed(t)
	for i, k := range rareKills {
		for when, lives := range map[string][]life{
			"new":       {{steps: 30, dies: k}, {steps: 30}},
			"reopened":  {{steps: 30, close: true}, {steps: 20, close: true, dies: k}, {steps: 30}},
			"compacted": {{steps: 30, close: true}, {compact: true, dies: k}, {steps: 30}},
		} {
			if brief() && i%4 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s %s %d", when, k.call, k.n), func(t *testing.T) {
				t.Parallel()
				record(t, s, lives).requireSound(t, 100*len(lives))
			})
		}
	}
}

// TestReplaySees takes syncs out of recordings, as if the ledger had not made them. If it
// fails, TestReplay would not see what it is there to see.
func TestReplaySees(t *testing.T) {
	s := seed(t)
	r := record(t, s, []life{{steps: 40, close: true}, {steps: 60}, {steps: 60, close: true}, {steps: 40}})
	r.requireSound(t, 2000)
	segment := func(e Event) bool { return strings.HasPrefix(e.Name, ledgerName+".segments/") }
	n := 0
	for name, c := range map[string]struct {
		drop     func(d *Disk, e Event) bool
		suspects bool // that is what is seen
		stop     int  // after so many findings, among which it must be; 0: 1
	}{
		"every second sync":      {drop: func(*Disk, Event) bool { n++; return n%2 == 0 }},
		"segments":               {drop: func(_ *Disk, e Event) bool { return segment(e) }},
		"bbolt's first":          {drop: func(d *Disk, e Event) bool { return e.Name == ledgerName && !d.metaPending() }},
		"bbolt's second":         {drop: func(d *Disk, e Event) bool { return e.Name == ledgerName && d.metaPending() }},
		"folder of the ledger":   {drop: func(_ *Disk, e Event) bool { return e.Name == "" }, stop: 50}, // most are companion files
		"folder of the segments": {drop: func(_ *Disk, e Event) bool { return e.Name == ledgerName+".segments" }},
		"companion file":         {drop: func(_ *Disk, e Event) bool { return strings.HasPrefix(e.Name, ledgerName+".incarnation") }, suspects: true},
	} {
		if brief() && name != "every second sync" && name != "segments" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			v := r.without(c.drop).judged(t, 20_000, max(1, c.stop))
			i := slices.IndexFunc(v.findings, func(f finding) bool { return f.Suspects == c.suspects })
			require.NotEqual(t, -1, i, "not seen in %d images; what was seen: %v", v.Images, v.findings)
			t.Logf("image %d: %.300s", v.findings[i].Image, v.findings[i].Text)
		})
	}
}

// without is the recording without the syncs that drop says, given what is pending then.
func (r recording) without(drop func(*Disk, Event) bool) recording {
	var d Disk
	dropped := map[int]bool{}
	all := r.Events
	r.Events = nil
	for _, e := range all {
		if e.Kind == Sync && drop(&d, e) {
			dropped[e.Call] = true
		}
		if dropped[e.Call] {
			continue
		}
		if err := d.Apply(e); err != nil {
			panic(err)
		}
		r.Events = append(r.Events, e)
	}
	return r
}

// metaPending says whether one of bbolt's first two pages was written since its last sync.
func (d *Disk) metaPending() bool {
	for _, c := range d.pending {
		if c.file == d.Number(ledgerName) && c.data != nil && c.offset < 2*pageSize {
			return true
		}
	}
	return false
}
