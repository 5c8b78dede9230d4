"""Statistics that may be looked at after every request: always-valid tests and intervals.

"Always valid" is a guarantee over time: with probability 1 - alpha the truth is in *all* intervals that are
ever computed, so one may look as often as one likes and stop whenever one likes. A t-test that is repeated
until it speaks errs far more often than it says.

Everything is a function of sums that are added up in any order, as records come from several gateways.

| module      | what it is for                                   | what is guaranteed                    |
|-------------|--------------------------------------------------|---------------------------------------|
| `rates`     | errors, agreement, rewards: means within [0, 1]  | exact, from the first record          |
| `contrasts` | latency: differences within slices of time       | asymptotic, from about 20 slices      |
| `spending`  | one alpha for all that is tested                 | Bonferroni                            |
| `forecast`  | how much more traffic it takes to see something  | none: it extrapolates                 |
"""
