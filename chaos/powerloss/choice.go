package powerloss

import "math/rand/v2"

// systematic is how many choices there are, for n atoms, that are not left to chance.
func systematic(n int) int { return 1 + 7*n }

// pick returns choice i of those for n atoms: nothing, each prefix, only one, all but
// one; the same with that one torn or spoilt; and beyond systematic(n) a random subset.
func pick(n, i int, random *rand.Rand) []Choice {
	c := make([]Choice, n)
	if i == 0 {
		return c
	}
	if i >= systematic(n) {
		return subset(c, random)
	}
	at := (i - 1) % n
	switch (i - 1) / n {
	case 0: // a prefix
		fill(c[:at+1])
	case 1: // only one
		c[at] = whole
	case 2: // all but one
		fill(c)
		c[at] = Choice{}
	case 3: // a prefix, the last one torn
		fill(c[:at])
		c[at] = torn(random)
	case 4: // only one, torn
		c[at] = torn(random)
	case 5: // all, one torn
		fill(c)
		c[at] = torn(random)
	case 6: // all, one spoilt
		fill(c)
		c[at] = spoilt(random)
	}
	return c
}

func fill(c []Choice) {
	for i := range c {
		c[i] = whole
	}
}

// torn has the first sectors of a page, the last ones, or any.
func torn(random *rand.Rand) Choice {
	n := 1 + random.IntN(7)
	switch random.IntN(3) {
	case 0:
		return Choice{There: 1<<n - 1}
	case 1:
		return Choice{There: ^byte(1<<n - 1)}
	}
	return Choice{There: byte(1 + random.IntN(254))}
}

// spoilt has garbage in some sector, and of the others any.
func spoilt(random *rand.Rand) Choice {
	spoil := byte(1) << random.IntN(8)
	if random.IntN(4) == 0 {
		spoil = byte(1 + random.IntN(255))
	}
	return Choice{There: byte(random.IntN(256)), Spoil: spoil}
}

// subset has each atom, or not, and a few of them damaged.
func subset(c []Choice, random *rand.Rand) []Choice {
	there := []float64{0.1, 0.5, 0.9}[random.IntN(3)]
	damaged := []float64{0, 0.1}[random.IntN(2)]
	for i := range c {
		switch {
		case random.Float64() < damaged && random.IntN(2) == 0:
			c[i] = torn(random)
		case random.Float64() < damaged:
			c[i] = spoilt(random)
		case random.Float64() < there:
			c[i] = whole
		}
	}
	return c
}
