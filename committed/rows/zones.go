package rows

import (
	"sync"
	"time"
	_ "time/tzdata" // so that a row is accepted or not whatever the machine has installed
)

// maxZoneName is longer than any name of the time zone database.
const maxZoneName = 64

// zones remembers the time zones that rows have named; the database has about 600, so it is bounded.
// Safe for concurrent use.
type zones struct {
	mu     sync.RWMutex
	byName map[string]*time.Location // guarded by mu
}

// find returns the zone called name, nil if there is none. It allocates only the first time.
func (z *zones) find(name []byte) *time.Location {
	z.mu.RLock()
	location := z.byName[string(name)]
	z.mu.RUnlock()
	if location != nil {
		return location
	}
	if !mayBeZone(name) {
		return nil
	}
	location, err := time.LoadLocation(string(name))
	if err != nil {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.byName == nil {
		z.byName = make(map[string]*time.Location)
	}
	z.byName[string(name)] = location
	return location
}

// mayBeZone keeps names away from the file system that are none, and Local, which is another zone on
// every machine.
func mayBeZone(name []byte) bool {
	if len(name) == 0 || len(name) > maxZoneName || string(name) == "Local" {
		return false
	}
	for _, c := range name {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && c-'0' > 9 && c != '/' && c != '_' && c != '-' && c != '+' {
			return false
		}
	}
	return 'A' <= name[0] && name[0] <= 'Z'
}
