"""Clusters of rows, by functions on arrays that need no flow and no estimator."""

from pushforward.clustering.copies import Distinct, distinct_rows
from pushforward.clustering.counting import count_clusters
from pushforward.clustering.embedding import embed
from pushforward.clustering.gaussians import fitted_gaussians, gaussian_partition, moments
from pushforward.clustering.neighbours import nearest_neighbours, paired, subsample
from pushforward.clustering.partition import choose_partition, conductance, partition_rows
from pushforward.clustering.shrunk import Average, Gaussians, choose_gaussians, shrunk_gaussians
from pushforward.clustering.spectral import spectral_partition
from pushforward.clustering.whitening import Whitening, whitening

__all__ = [
    "Average",
    "Distinct",
    "Gaussians",
    "Whitening",
    "choose_gaussians",
    "choose_partition",
    "conductance",
    "count_clusters",
    "distinct_rows",
    "embed",
    "fitted_gaussians",
    "gaussian_partition",
    "moments",
    "nearest_neighbours",
    "paired",
    "partition_rows",
    "shrunk_gaussians",
    "spectral_partition",
    "subsample",
    "whitening",
]
