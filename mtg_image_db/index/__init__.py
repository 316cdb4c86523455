"""Faces and vectors -> the files of index_out/, and the finished index as a query reads it."""
