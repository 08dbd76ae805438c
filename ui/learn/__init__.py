"""Parts of the Learn page: lessons, class board, presenter mode, and the tours of the labs."""
