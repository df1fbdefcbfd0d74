//go:build race

package seeds

// seedsInCI is fewer with the race detector, which makes each take several times as long.
const seedsInCI = 300
