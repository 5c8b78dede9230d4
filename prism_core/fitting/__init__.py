"""What every media type needs that carries values: arrange them by the signature, say all that is wrong.

=========  ====================================================================================
module     what it does
=========  ====================================================================================
fit        arrays -> a batch: shapes, lossless casts
values     decoded JSON -> an array, losslessly
faults     all faults of a request in one error; values, shapes and names as messages show them
counting   how many values a body of text holds, before any is made
jsonable   what orjson cannot write by itself
tensors    named arrays as bytes, between processes of PRISM and for clients
=========  ====================================================================================

Plugins have it from `prism_core.plugin`.
"""
