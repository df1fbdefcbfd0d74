//go:build !race

package seeds

// seedsInCI is how many seeds TestSeeds plays by default.
const seedsInCI = 2000
