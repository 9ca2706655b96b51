"""The posteriors, by the names of their data; the second one has its draws in common with the first."""

NAMES = [
    "eight_schools-eight_schools_noncentered",
    "eight_schools-eight_schools_centred",
    "kidiq-kidscore_interaction",
    "arK-arK",
    "garch-garch11",
    "earnings-earn_height",
    "mesquite-logmesquite_logvash",
    "nes2000-nes",
    "low_dim_gauss_mix-low_dim_gauss_mix",
    "sblrc-blr",
    "gp_pois_regr-gp_regr",
]
