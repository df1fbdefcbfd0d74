package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// view runs fn in a short read transaction. fn must copy what it keeps. bbolt's
// panics, and faults in a file that was truncated under it, become ErrCorrupt.
func (l *Ledger) view(fn func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("ledger %s: %w: %v", l.path, ErrCorrupt, cause)
		}
	}()
	tx, err := l.db.Begin(false)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return fmt.Errorf("ledger %s: %w", l.path, ErrClosed)
	}
	if err != nil {
		return fmt.Errorf("ledger %s: read: %w", l.path, err)
	}
	defer tx.Rollback()
	return fn(tx)
}

// each calls fn with the bucket's records in order.
func each(tx *bbolt.Tx, bucket []byte, fn func(key, value []byte) error) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return damaged("bucket %s is missing", bucket)
	}
	return b.ForEach(fn)
}

func get(tx *bbolt.Tx, bucket, key []byte) ([]byte, error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil, damaged("bucket %s is missing", bucket)
	}
	return b.Get(key), nil
}

// Partition returns what the last commit left of a partition, and its open intents
// in order. All is copied. The error wraps ErrNoPartition when there is none.
func (l *Ledger) Partition(k Key) (p Partition, open []Intent, err error) {
	key := partitionKey(k)
	err = l.view(func(tx *bbolt.Tx) error {
		value, err := get(tx, partitionBucket, key)
		if err != nil {
			return err
		}
		if value == nil {
			return fmt.Errorf("ledger %s: %q of %s: %w", l.path, k.Name, k.Table, ErrNoPartition)
		}
		if p, err = parsePartition(key, value); err != nil {
			return l.unread(k, err)
		}
		if open, err = readIntents(tx, p.ID); err != nil {
			return l.unread(k, err)
		}
		return nil
	})
	if err != nil {
		return Partition{}, nil, err
	}
	return p, open, nil
}

func (l *Ledger) unread(k Key, err error) error {
	return fmt.Errorf("ledger %s: partition %q of %s: %w", l.path, k.Name, k.Table, err)
}

func readIntents(tx *bbolt.Tx, id ID) (open []Intent, err error) {
	b := tx.Bucket(intentBucket)
	if b == nil {
		return nil, damaged("bucket %s is missing", intentBucket)
	}
	from := makeNumbers(id, 0)
	c := b.Cursor()
	for key, value := c.Seek(from[:]); key != nil && bytes.HasPrefix(key, from[:4]); key, value = c.Next() {
		_, in, err := parseIntent(key, value)
		if err != nil {
			return nil, err
		}
		open = append(open, in)
	}
	return open, nil
}

// Partitions returns all partitions as the last commit left them, ordered by table
// and name. All is copied; the memory is in proportion to their number.
func (l *Ledger) Partitions() (all []Partition, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		return each(tx, partitionBucket, func(key, value []byte) error {
			p, err := parsePartition(key, value)
			if err != nil {
				return fmt.Errorf("ledger %s: partition %q: %w", l.path, key, err)
			}
			all = append(all, p)
			return nil
		})
	})
	return all, err
}

// History returns the streams of a partition that are not used any more, ordered by
// epoch: the newest, at most limit, and how many there are.
func (l *Ledger) History(id ID, limit int) (newest []Retired, all int, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(retiredBucket)
		if b == nil {
			return damaged("bucket %s is missing", retiredBucket)
		}
		from := makeNumbers(id, 0)
		c := b.Cursor()
		for key, value := c.Seek(from[:]); key != nil && bytes.HasPrefix(key, from[:4]); key, value = c.Next() {
			_, r, err := parseRetired(key, value)
			if err != nil {
				return fmt.Errorf("ledger %s: retired stream %x: %w", l.path, key, err)
			}
			newest = append(newest, r)
		}
		all = len(newest)
		newest = newest[max(0, all-limit):]
		return nil
	})
	return newest, all, err
}

// Retired returns the streams that are not used any more, ordered by partition ID
// and epoch.
func (l *Ledger) Retired() (all []Retired, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		return each(tx, retiredBucket, func(key, value []byte) error {
			_, r, err := parseRetired(key, value)
			if err != nil {
				return fmt.Errorf("ledger %s: retired stream %x: %w", l.path, key, err)
			}
			all = append(all, r)
			return nil
		})
	})
	return all, err
}

// Schema returns the serialized descriptor with this fingerprint. It is the
// caller's.
func (l *Ledger) Schema(f Fingerprint) (descriptor []byte, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		value, err := get(tx, schemaBucket, f[:])
		if err != nil {
			return err
		}
		if value == nil {
			return fmt.Errorf("ledger %s: schema %x is not known", l.path, f)
		}
		if _, descriptor, err = parseSchema(f[:], value); err != nil {
			return fmt.Errorf("ledger %s: schema %x: %w", l.path, f, err)
		}
		return nil
	})
	return descriptor, err
}

// clonePartition copies a partition out of the mirror.
func clonePartition(p *Partition) Partition {
	c := *p
	c.Position = bytes.Clone(p.Position)
	if p.Last != nil {
		last := *p.Last
		last.Before, last.After, last.Parts = bytes.Clone(last.Before), bytes.Clone(last.After), slices.Clone(last.Parts)
		c.Last = &last
	}
	if p.Seal != nil {
		s := *p.Seal
		s.Rejected = slices.Clone(s.Rejected)
		c.Seal = &s
	}
	if p.Halt != nil {
		h := *p.Halt
		c.Halt = &h
	}
	if p.Resolution != nil {
		r := *p.Resolution
		c.Resolution = &r
	}
	return c
}
