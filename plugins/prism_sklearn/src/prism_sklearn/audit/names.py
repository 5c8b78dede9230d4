"""Names that models hold: written by ``tools/merge_names.py``, then read by a person.

Seen in pickles of every estimator that scikit-learn lists, in some 600 configurations, with scikit-learn
1.2 to 1.9, numpy 1.23 to 2.5 and pandas 2.0 to 3.1. `prism_sklearn.audit.called` has those that are called.
"""

from __future__ import annotations

from collections.abc import Mapping


def _paths(names: Mapping[str, str]) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for module, text in names.items() for name in text.split())


# Instances are made of these by `__new__` without arguments, and given their state: attributes,
# for scikit-learn's and pandas's own `__setstate__` nothing more than that.
CLASSES = _paths(
    {
        "joblib._store_backends": "FileSystemStoreBackend",
        "joblib.memory": "Memory",
        "joblib.numpy_pickle": "NumpyArrayWrapper",
        "pandas": "BooleanDtype CategoricalDtype DataFrame Series SparseDtype",
        "pandas.arrays": "BooleanArray FloatingArray IntegerArray SparseArray",
        "pandas.core.arrays.boolean": "BooleanArray BooleanDtype",
        "pandas.core.arrays.floating": "FloatingArray",
        "pandas.core.arrays.integer": "IntegerArray",
        "pandas.core.arrays.sparse.array": "SparseArray",
        "pandas.core.arrays.sparse.dtype": "SparseDtype",
        "pandas.core.arrays.string_": "StringDtype",
        "pandas.core.dtypes.dtypes": "CategoricalDtype SparseDtype",
        "pandas.core.frame": "DataFrame",
        "pandas.core.internals.managers": "SingleBlockManager",
        "pandas.core.series": "Series",
        "scipy.interpolate._bsplines": "BSpline _BSpline",
        "scipy.sparse._bsr": "bsr_array bsr_matrix",
        "scipy.sparse._coo": "coo_array coo_matrix",
        "scipy.sparse._csc": "csc_array csc_matrix",
        "scipy.sparse._csr": "csr_array csr_matrix",
        "scipy.sparse._dia": "dia_array dia_matrix",
        "scipy.sparse._dok": "dok_array dok_matrix",
        "scipy.sparse._lil": "lil_array lil_matrix",
        "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
        "sklearn._loss.loss": (
            "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss "
            "HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss "
            "PinballLoss"
        ),
        "sklearn.calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration",
        "sklearn.cluster._affinity_propagation": "AffinityPropagation",
        "sklearn.cluster._agglomerative": "AgglomerativeClustering FeatureAgglomeration",
        "sklearn.cluster._bicluster": "SpectralBiclustering SpectralCoclustering",
        "sklearn.cluster._birch": "Birch _CFNode _CFSubcluster",
        "sklearn.cluster._bisect_k_means": "BisectingKMeans _BisectingTree",
        "sklearn.cluster._dbscan": "DBSCAN",
        "sklearn.cluster._hdbscan.hdbscan": "HDBSCAN",
        "sklearn.cluster._kmeans": "KMeans MiniBatchKMeans",
        "sklearn.cluster._mean_shift": "MeanShift",
        "sklearn.cluster._optics": "OPTICS",
        "sklearn.cluster._spectral": "SpectralClustering",
        "sklearn.compose._column_transformer": ("ColumnTransformer _RemainderColsList make_column_selector"),
        "sklearn.compose._target": "TransformedTargetRegressor",
        "sklearn.covariance._elliptic_envelope": "EllipticEnvelope",
        "sklearn.covariance._empirical_covariance": "EmpiricalCovariance",
        "sklearn.covariance._graph_lasso": "GraphicalLasso GraphicalLassoCV",
        "sklearn.covariance._robust_covariance": "MinCovDet",
        "sklearn.covariance._shrunk_covariance": "LedoitWolf OAS ShrunkCovariance",
        "sklearn.cross_decomposition._pls": "CCA PLSCanonical PLSRegression PLSSVD",
        "sklearn.decomposition._dict_learning": (
            "DictionaryLearning MiniBatchDictionaryLearning SparseCoder"
        ),
        "sklearn.decomposition._factor_analysis": "FactorAnalysis",
        "sklearn.decomposition._fastica": "FastICA",
        "sklearn.decomposition._incremental_pca": "IncrementalPCA",
        "sklearn.decomposition._kernel_pca": "KernelPCA",
        "sklearn.decomposition._lda": "LatentDirichletAllocation",
        "sklearn.decomposition._nmf": "MiniBatchNMF NMF",
        "sklearn.decomposition._pca": "PCA",
        "sklearn.decomposition._sparse_pca": "MiniBatchSparsePCA SparsePCA",
        "sklearn.decomposition._truncated_svd": "TruncatedSVD",
        "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
        "sklearn.dummy": "DummyClassifier DummyRegressor",
        "sklearn.ensemble._bagging": "BaggingClassifier BaggingRegressor",
        "sklearn.ensemble._forest": (
            "ExtraTreesClassifier ExtraTreesRegressor RandomForestClassifier RandomForestRegressor "
            "RandomTreesEmbedding"
        ),
        "sklearn.ensemble._gb": "GradientBoostingClassifier GradientBoostingRegressor",
        "sklearn.ensemble._gb_losses": (
            "BinomialDeviance ExponentialLoss HuberLossFunction LeastAbsoluteError LeastSquaresError "
            "MultinomialDeviance QuantileLossFunction"
        ),
        "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
            "HistGradientBoostingClassifier HistGradientBoostingRegressor"
        ),
        "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
        "sklearn.ensemble._iforest": "IsolationForest",
        "sklearn.ensemble._stacking": "StackingClassifier StackingRegressor",
        "sklearn.ensemble._voting": "VotingClassifier VotingRegressor",
        "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
        "sklearn.feature_extraction._dict_vectorizer": "DictVectorizer",
        "sklearn.feature_extraction._hash": "FeatureHasher",
        "sklearn.feature_extraction.image": "PatchExtractor",
        "sklearn.feature_extraction.text": (
            "CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer"
        ),
        "sklearn.feature_selection._from_model": "SelectFromModel",
        "sklearn.feature_selection._rfe": "RFE RFECV",
        "sklearn.feature_selection._sequential": "SequentialFeatureSelector",
        "sklearn.feature_selection._univariate_selection": (
            "GenericUnivariateSelect SelectFdr SelectFpr SelectFwe SelectKBest SelectPercentile"
        ),
        "sklearn.feature_selection._variance_threshold": "VarianceThreshold",
        "sklearn.frozen._frozen": "FrozenEstimator",
        "sklearn.gaussian_process._gpc": (
            "GaussianProcessClassifier _BinaryGaussianProcessClassifierLaplace"
        ),
        "sklearn.gaussian_process._gpr": "GaussianProcessRegressor",
        "sklearn.gaussian_process.kernels": (
            "ConstantKernel DotProduct ExpSineSquared Exponentiation Matern PairwiseKernel Product "
            "RBF RationalQuadratic Sum WhiteKernel"
        ),
        "sklearn.impute._base": "MissingIndicator SimpleImputer",
        "sklearn.impute._iterative": "IterativeImputer",
        "sklearn.impute._knn": "KNNImputer",
        "sklearn.isotonic": "IsotonicRegression",
        "sklearn.kernel_approximation": (
            "AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler"
        ),
        "sklearn.kernel_ridge": "KernelRidge",
        "sklearn.linear_model._base": "LinearRegression",
        "sklearn.linear_model._bayes": "ARDRegression BayesianRidge",
        "sklearn.linear_model._coordinate_descent": (
            "ElasticNet ElasticNetCV Lasso LassoCV MultiTaskElasticNet MultiTaskElasticNetCV "
            "MultiTaskLasso MultiTaskLassoCV"
        ),
        "sklearn.linear_model._glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor",
        "sklearn.linear_model._huber": "HuberRegressor",
        "sklearn.linear_model._least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
        "sklearn.linear_model._logistic": "LogisticRegression LogisticRegressionCV",
        "sklearn.linear_model._omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
        "sklearn.linear_model._passive_aggressive": (
            "PassiveAggressiveClassifier PassiveAggressiveRegressor"
        ),
        "sklearn.linear_model._perceptron": "Perceptron",
        "sklearn.linear_model._quantile": "QuantileRegressor",
        "sklearn.linear_model._ransac": "RANSACRegressor",
        "sklearn.linear_model._ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
        "sklearn.linear_model._stochastic_gradient": "SGDClassifier SGDOneClassSVM SGDRegressor",
        "sklearn.linear_model._theil_sen": "TheilSenRegressor",
        "sklearn.manifold._classical_mds": "ClassicalMDS",
        "sklearn.manifold._isomap": "Isomap",
        "sklearn.manifold._locally_linear": "LocallyLinearEmbedding",
        "sklearn.manifold._mds": "MDS",
        "sklearn.manifold._spectral_embedding": "SpectralEmbedding",
        "sklearn.manifold._t_sne": "TSNE",
        "sklearn.metrics._scorer": (
            "_CurveScorer _PassthroughScorer _PredictScorer _ProbaScorer _Scorer _ThresholdScorer"
        ),
        "sklearn.mixture._bayesian_mixture": "BayesianGaussianMixture",
        "sklearn.mixture._gaussian_mixture": "GaussianMixture",
        "sklearn.model_selection._classification_threshold": (
            "FixedThresholdClassifier TunedThresholdClassifierCV _CurveScorer"
        ),
        "sklearn.model_selection._search": "GridSearchCV RandomizedSearchCV",
        "sklearn.model_selection._search_successive_halving": ("HalvingGridSearchCV HalvingRandomSearchCV"),
        "sklearn.model_selection._split": (
            "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePOut "
            "PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit "
            "StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit "
            "_CVIterableWrapper"
        ),
        "sklearn.multiclass": "OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier",
        "sklearn.multioutput": ("ClassifierChain MultiOutputClassifier MultiOutputRegressor RegressorChain"),
        "sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB",
        "sklearn.neighbors._classification": "KNeighborsClassifier RadiusNeighborsClassifier",
        "sklearn.neighbors._graph": "KNeighborsTransformer RadiusNeighborsTransformer",
        "sklearn.neighbors._kde": "KernelDensity",
        "sklearn.neighbors._lof": "LocalOutlierFactor",
        "sklearn.neighbors._nca": "NeighborhoodComponentsAnalysis",
        "sklearn.neighbors._nearest_centroid": "NearestCentroid",
        "sklearn.neighbors._regression": "KNeighborsRegressor RadiusNeighborsRegressor",
        "sklearn.neighbors._unsupervised": "NearestNeighbors",
        "sklearn.neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor",
        "sklearn.neural_network._rbm": "BernoulliRBM",
        "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
        "sklearn.pipeline": "FeatureUnion Pipeline",
        "sklearn.preprocessing._data": (
            "Binarizer KernelCenterer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer "
            "QuantileTransformer RobustScaler StandardScaler"
        ),
        "sklearn.preprocessing._discretization": "KBinsDiscretizer",
        "sklearn.preprocessing._encoders": "OneHotEncoder OrdinalEncoder",
        "sklearn.preprocessing._function_transformer": "FunctionTransformer",
        "sklearn.preprocessing._label": "LabelBinarizer LabelEncoder MultiLabelBinarizer",
        "sklearn.preprocessing._polynomial": "PolynomialFeatures SplineTransformer",
        "sklearn.preprocessing._target_encoder": "TargetEncoder",
        "sklearn.random_projection": "GaussianRandomProjection SparseRandomProjection",
        "sklearn.semi_supervised._label_propagation": "LabelPropagation LabelSpreading",
        "sklearn.semi_supervised._self_training": "SelfTrainingClassifier",
        "sklearn.svm._classes": "LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR",
        "sklearn.tree._classes": (
            "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor"
        ),
        "sklearn.utils._bunch": "Bunch",
        "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    }
)

# Held by models and called with rows at most, when they predict: types of values, and functions of numbers
# to numbers. None opens a file, imports a name or calls another function that it is given.
_VALUES = _paths(
    {
        "builtins": "Ellipsis NotImplemented bool dict float int list object str tuple",
        "numpy": (
            "abs amax amin angle argmax argmin argsort around array asarray average bool bool_ "
            "bytes_ clip complex128 complex64 concatenate cumprod cumsum datetime64 diff dot fix "
            "float128 float16 float32 float64 floating generic imag inexact int16 int32 int64 int8 int_ "
            "intc integer intp longdouble longlong matrix max mean median memmap min nan_to_num "
            "nanmax nanmean nanmedian nanmin nanstd nansum nanvar ndarray number object_ "
            "percentile prod ptp quantile ravel real reshape round round_ signedinteger sort squeeze std "
            "str_ sum timedelta64 transpose uint16 uint32 uint64 uint8 uintc uintp ulonglong "
            "unsignedinteger var void where"
        ),
        "numpy.ma": "MaskedArray",
        "numpy.ma.core": "MaskedArray",
        "numpy.random._mt19937": "MT19937",
        "numpy.random._pcg64": "PCG64 PCG64DXSM",
        "numpy.random._philox": "Philox",
        "numpy.random._sfc64": "SFC64",
        "numpy.random.bit_generator": "SeedSequence",
        "pandas": (
            "Categorical CategoricalIndex DatetimeIndex Index IntervalIndex MultiIndex NA "
            "RangeIndex TimedeltaIndex"
        ),
        "pandas._libs.missing": "NA",
        "pandas.arrays": "DatetimeArray StringArray TimedeltaArray",
        "pandas.core.arrays.categorical": "Categorical",
        "pandas.core.arrays.datetimes": "DatetimeArray",
        "pandas.core.arrays.string_": "StringArray",
        "pandas.core.arrays.timedeltas": "TimedeltaArray",
        "pandas.core.indexes.base": "Index",
        "pandas.core.indexes.category": "CategoricalIndex",
        "pandas.core.indexes.datetimes": "DatetimeIndex",
        "pandas.core.indexes.interval": "IntervalIndex",
        "pandas.core.indexes.multi": "MultiIndex",
        "pandas.core.indexes.range": "RangeIndex",
        "pandas.core.indexes.timedeltas": "TimedeltaIndex",
        "scipy._lib.array_api_compat.numpy._aliases": "asarray",
        "scipy.special": (
            "boxcox boxcox1p cbrt erf erfc erfinv exp10 exp2 expit expm1 gammaln inv_boxcox "
            "inv_boxcox1p log1p log_expit log_ndtr log_softmax logit logsumexp ndtr ndtri psi "
            "softmax xlog1py xlogy"
        ),
        "sklearn.cluster._kmeans": "_kmeans_single_lloyd",
        "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
        "sklearn.feature_selection._univariate_selection": "chi2 f_classif f_regression r_regression",
        "sklearn.impute._iterative": "_ImputerTriplet",
        "sklearn.metrics._classification": (
            "accuracy_score balanced_accuracy_score brier_score_loss class_likelihood_ratios "
            "cohen_kappa_score confusion_matrix d2_brier_score d2_log_loss_score f1_score "
            "fbeta_score hamming_loss hinge_loss jaccard_score log_loss matthews_corrcoef "
            "multilabel_confusion_matrix precision_recall_fscore_support precision_score "
            "recall_score zero_one_loss"
        ),
        "sklearn.metrics._dist_metrics": (
            "BrayCurtisDistance BrayCurtisDistance32 BrayCurtisDistance64 CanberraDistance "
            "CanberraDistance32 CanberraDistance64 ChebyshevDistance ChebyshevDistance32 "
            "ChebyshevDistance64 DiceDistance DiceDistance32 DiceDistance64 EuclideanDistance "
            "EuclideanDistance32 EuclideanDistance64 HammingDistance HammingDistance32 "
            "HammingDistance64 HaversineDistance HaversineDistance32 HaversineDistance64 "
            "JaccardDistance JaccardDistance32 JaccardDistance64 KulsinskiDistance "
            "KulsinskiDistance32 KulsinskiDistance64 MahalanobisDistance MahalanobisDistance32 "
            "MahalanobisDistance64 ManhattanDistance ManhattanDistance32 ManhattanDistance64 "
            "MatchingDistance MatchingDistance32 MatchingDistance64 MinkowskiDistance "
            "MinkowskiDistance32 MinkowskiDistance64 RogersTanimotoDistance "
            "RogersTanimotoDistance32 RogersTanimotoDistance64 RussellRaoDistance "
            "RussellRaoDistance32 RussellRaoDistance64 SEuclideanDistance SEuclideanDistance32 "
            "SEuclideanDistance64 SokalMichenerDistance SokalMichenerDistance32 "
            "SokalMichenerDistance64 SokalSneathDistance SokalSneathDistance32 "
            "SokalSneathDistance64"
        ),
        "sklearn.metrics._ranking": (
            "auc average_precision_score confusion_matrix_at_thresholds coverage_error dcg_score "
            "det_curve label_ranking_average_precision_score label_ranking_loss "
            "metric_at_thresholds ndcg_score precision_recall_curve roc_auc_score roc_curve "
            "top_k_accuracy_score"
        ),
        "sklearn.metrics._regression": (
            "d2_absolute_error_score d2_pinball_score d2_tweedie_score explained_variance_score "
            "max_error mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance "
            "mean_pinball_loss mean_poisson_deviance mean_squared_error mean_squared_log_error "
            "mean_tweedie_deviance median_absolute_error r2_score root_mean_squared_error "
            "root_mean_squared_log_error"
        ),
        "sklearn.metrics._scorer": (
            "_passthrough_scorer negative_likelihood_ratio positive_likelihood_ratio"
        ),
        "sklearn.metrics.cluster._bicluster": "consensus_score",
        "sklearn.metrics.cluster._supervised": (
            "adjusted_mutual_info_score adjusted_rand_score completeness_score "
            "fowlkes_mallows_score homogeneity_completeness_v_measure homogeneity_score "
            "mutual_info_score normalized_mutual_info_score pair_confusion_matrix rand_score "
            "v_measure_score"
        ),
        "sklearn.metrics.cluster._unsupervised": (
            "calinski_harabasz_score davies_bouldin_score silhouette_samples silhouette_score"
        ),
        "sklearn.metrics.pairwise": (
            "additive_chi2_kernel check_paired_arrays check_pairwise_arrays chi2_kernel "
            "cosine_distances cosine_similarity euclidean_distances haversine_distances "
            "laplacian_kernel linear_kernel manhattan_distances nan_euclidean_distances "
            "paired_cosine_distances paired_euclidean_distances paired_manhattan_distances "
            "polynomial_kernel rbf_kernel sigmoid_kernel"
        ),
        "sklearn.neighbors._ball_tree": "BallTree BallTree32 BallTree64",
        "sklearn.neighbors._kd_tree": "KDTree KDTree32 KDTree64",
        "sklearn.utils.validation": "check_array",
    }
)
# numpy's functions of each element. Where they are found depends on what was imported first.
_UFUNCS = (
    "abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin "
    "asinh atan atan2 atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift "
    "bitwise_not bitwise_or bitwise_right_shift bitwise_xor cbrt ceil conj conjugate "
    "copysign cos cosh deg2rad degrees divide divmod equal exp exp2 expm1 fabs float_power "
    "floor floor_divide fmax fmin fmod frexp gcd greater greater_equal heaviside hypot "
    "invert isfinite isinf isnan isnat lcm ldexp left_shift less less_equal log log10 "
    "log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor matmul "
    "matvec maximum minimum mod modf multiply negative nextafter not_equal positive pow "
    "power rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinh "
    "spacing sqrt square subtract tan tanh true_divide trunc vecdot vecmat"
)
_UFUNC_MODULES = ("numpy", "numpy._core", "numpy._core.umath", "numpy._core._multiarray_umath")
VALUES = _VALUES | _paths({module: _UFUNCS for module in _UFUNC_MODULES})
