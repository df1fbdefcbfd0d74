package seeds

const seedsInCI = 2000
