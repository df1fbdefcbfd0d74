//go:build !race

package powerloss

const underRace = false
