package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher looks which logs a pattern matches, and tells their followers when to look. Being told by the system makes that
// fast; looking now and then makes it certain, as it isn't told of what others do on a network's file system.
type watcher struct {
	t       *Tail
	pattern string // absolute
	table   string

	notify  *fsnotify.Watcher // nil: it can't
	folders map[string]bool   // that are watched
	by      map[string]*follower
}

// pauseScan is the least time between two looks for new logs because of events.
const pauseScan = 100 * time.Millisecond

func newWatcher(t *Tail, pattern, table string) *watcher {
	w := &watcher{t: t, pattern: pattern, table: table, folders: map[string]bool{}}
	if !t.opt.Notify {
		return w
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		t.opt.Log.Warn("the system doesn't tell when logs change: they are looked at now and then", "pattern", pattern, "error", err)
		return w
	}
	w.notify = n
	return w
}

func (w *watcher) run() {
	var events chan fsnotify.Event
	var failures chan error
	if w.notify != nil {
		defer w.notify.Close()
		events, failures = w.notify.Events, w.notify.Errors
	}
	poll := time.NewTicker(w.t.opt.Poll)
	defer poll.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	due := true // soon is running
	for {
		select {
		case e := <-events:
			if f := w.by[e.Name]; f != nil {
				f.wake()
			}
			if !due && e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
				due = true
				soon.Reset(pauseScan)
			}
		case <-failures:
			// Events were lost: the next poll sees what they were of.
		case <-soon.C:
			due = false
			w.scan()
		case <-poll.C:
			w.scan()
		case <-w.t.stopping:
			return
		}
	}
}

// scan looks for logs, and wakes all followers.
func (w *watcher) scan() {
	matches, _ := filepath.Glob(w.pattern) // the pattern was checked
	byFolder := map[string][]string{}
	for _, path := range matches {
		folder := filepath.Dir(path)
		byFolder[folder] = append(byFolder[folder], filepath.Base(path))
	}
	before := w.by
	w.by = map[string]*follower{}
	for folder, names := range byFolder {
		for _, name := range live(names) {
			w.found(filepath.Join(folder, name))
		}
	}
	for path, f := range before {
		if w.by[path] == nil {
			f.wake() // its log is gone, or was
		}
	}
	w.watch()
}

// found has a log followed.
func (w *watcher) found(path string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	f := w.t.follow(path, w.table)
	if f == nil {
		return
	}
	f.wake()
	w.by[path] = f
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		w.by[target] = f
	}
}

// watch has the system tell of changes in the folders of the logs, and where there may be new ones.
func (w *watcher) watch() {
	if w.notify == nil {
		return
	}
	wanted, _ := filepath.Glob(filepath.Dir(w.pattern))
	for path := range w.by {
		wanted = append(wanted, filepath.Dir(path))
	}
	for _, folder := range wanted {
		if w.folders[folder] {
			continue
		}
		err := w.notify.Add(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !w.folders[""] {
			w.folders[""] = true // said once
			w.t.opt.Log.Warn("the system doesn't tell when logs change: they are looked at now and then", "folder", folder, "error", err)
		}
		w.folders[folder] = err == nil
	}
	for folder := range w.folders {
		if folder != "" && !slices.Contains(wanted, folder) {
			_ = w.notify.Remove(folder)
			delete(w.folders, folder)
		}
	}
}
